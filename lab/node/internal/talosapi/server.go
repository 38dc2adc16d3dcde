// Package talosapi serves the Talos API of emulated nodes: apid in front, which checks certificates and forwards to
// other nodes, and the node's own services behind it.
package talosapi

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	cosiv1alpha1 "github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machine"
)

// keepalivePing is how often talosctl may ask whether the connection lives; it does while it waits for a reboot.
const keepalivePing = 5 * time.Second

// API is the Talos API of one boot.
type API struct {
	boot *machine.Boot
	// inner serves the node's own services to apid only.
	inner *grpc.Server
	conn  *grpc.ClientConn

	mu    sync.Mutex
	outer *grpc.Server
}

// New makes the API of a boot; it answers nobody before Serve.
func New(boot *machine.Boot) machine.API {
	api := &API{boot: boot, inner: grpc.NewServer(
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.UnaryInterceptor(authorizeUnary),
		grpc.StreamInterceptor(authorizeStream),
	)}

	service := &machineServer{boot: boot}
	filtered := state.WrapCore(state.Filter(boot.State, accessPolicy))

	machineapi.RegisterMachineServiceServer(api.inner, service)
	machineapi.RegisterLifecycleServiceServer(api.inner, &lifecycleServer{boot: boot})
	machineapi.RegisterImageServiceServer(api.inner, &imageServer{boot: boot})
	cluster.RegisterClusterServiceServer(api.inner, &clusterServer{boot: boot})
	inspect.RegisterInspectServiceServer(api.inner, &inspectServer{})
	storage.RegisterStorageServiceServer(api.inner, &storageServer{boot: boot})
	timeapi.RegisterTimeServiceServer(api.inner, &timeServer{})
	cosiv1alpha1.RegisterStateServer(api.inner, cosiserver.NewState(filtered))

	pipe := bufconn.Listen(1 << 20)

	go api.inner.Serve(pipe) //nolint:errcheck // ends with Stop

	// The address is never resolved: the dialer leads into the process itself.
	api.conn, _ = grpc.NewClient("passthrough:///machined",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize), grpc.ForceCodecV2(proxy.Codec())),
	)

	return api
}

// Conn implements machine.API.
func (a *API) Conn() *grpc.ClientConn { return a.conn }

// Serve implements machine.API.
func (a *API) Serve(maintenance bool) error {
	router := &router{boot: a.boot, local: a.conn, maintenance: maintenance}

	outer := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion:         tls.VersionTLS13,
			NextProtos:         []string{"h2"},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.boot.APITLS() },
		})),
		grpc.ForceServerCodecV2(proxy.Codec()),
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.SharedWriteBuffer(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepalivePing, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(router.direct, proxy.WithStreamedDetector(isStreamed))),
	)

	a.mu.Lock()
	a.outer = outer
	a.mu.Unlock()

	// What comes over the private network arrives at the wire.
	wire, err := net.Listen("tcp", fabric.JoinPort(a.boot.Wire(), fabric.PortAPI))
	if err != nil {
		return err
	}

	go outer.Serve(wire) //nolint:errcheck // ends with Stop

	if !a.boot.Machine().Hardware().Public().IsValid() {
		return nil
	}

	listener, err := a.boot.ListenPublic(fabric.PortAPI)
	if err != nil {
		return err
	}

	go outer.Serve(listener) //nolint:errcheck // ends with Stop

	return nil
}

// Stop implements machine.API.
func (a *API) Stop() {
	a.mu.Lock()
	outer := a.outer
	a.mu.Unlock()

	if outer != nil {
		outer.Stop()
	}

	a.conn.Close() //nolint:errcheck
	a.inner.Stop()
}
