package talosapi

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machine"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// unreachableDelay is how long apid tries a node that is not there.
const unreachableDelay = 1500 * time.Millisecond

// manyServices are the services that answer for several nodes in one call.
var manyServices = []string{
	"/machine.MachineService/", "/cluster.ClusterService/", "/inspect.InspectService/", "/storage.StorageService/", "/time.TimeService/",
}

var streamedMethods = []string{
	"/machine.MachineService/Copy", "/machine.MachineService/DiskUsage", "/machine.MachineService/Dmesg",
	"/machine.MachineService/EtcdSnapshot", "/machine.MachineService/Events", "/machine.MachineService/ImageList",
	"/machine.MachineService/Kubeconfig", "/machine.MachineService/List", "/machine.MachineService/Logs",
	"/machine.MachineService/PacketCapture", "/machine.MachineService/Read", "/cluster.ClusterService/HealthCheck",
}

func isStreamed(method string) bool { return slices.Contains(streamedMethods, method) }

// router decides, as apid does, which nodes a call goes to: metadata "node" for one, "nodes" for several.
type router struct {
	boot        *machine.Boot
	local       *grpc.ClientConn
	maintenance bool
}

func (r *router) direct(ctx context.Context, method string) (proxy.Mode, []proxy.Backend, error) {
	roles, err := callerRoles(ctx, r.maintenance)
	if err != nil {
		return proxy.One2One, nil, err
	}

	local := &backend{router: r, roles: roles}
	if r.maintenance {
		return proxy.One2One, []proxy.Backend{local}, nil
	}

	md, _ := metadata.FromIncomingContext(ctx)
	nodes, node := md["nodes"], md["node"]

	// Only control planes forward.
	if !machineconfig.IsControlPlane(r.boot.Config()) {
		if len(node) == 1 && r.boot.IsLocal(node[0]) {
			node = nil
		}

		if len(nodes) == 1 && r.boot.IsLocal(nodes[0]) {
			nodes = nil
		}

		if len(node)+len(nodes) > 0 {
			return proxy.One2One, nil, status.Error(codes.PermissionDenied, "no request forwarding")
		}
	}

	switch {
	case len(nodes) > 0:
		if !slices.ContainsFunc(manyServices, func(prefix string) bool { return strings.HasPrefix(method, prefix) }) {
			return proxy.One2One, nil, status.Errorf(codes.InvalidArgument, "one-2-many proxying is not supported for method %s", method)
		}

		backends := make([]proxy.Backend, 0, len(nodes))
		for _, target := range nodes {
			backends = append(backends, &backend{router: r, roles: roles, target: target})
		}

		return proxy.One2Many, backends, nil
	case len(node) > 1:
		return proxy.One2One, nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	case len(node) == 1:
		return proxy.One2One, []proxy.Backend{&backend{router: r, roles: roles, target: node[0]}}, nil
	default:
		return proxy.One2One, []proxy.Backend{local}, nil
	}
}

// backend is one node that a call goes to; the node itself without a target.
type backend struct {
	router *router
	roles  []string
	target string
}

func (b *backend) String() string { return b.target }

// GetConnection implements proxy.Backend.
func (b *backend) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()

	for _, key := range []string{":authority", "nodes", "node"} {
		delete(md, key)
	}

	md.Set(roleKey, b.roles...)
	out := metadata.NewOutgoingContext(ctx, md)

	if b.target == "" {
		return out, b.router.local, nil
	}

	conn, err := b.router.connect(ctx, b.target)

	return out, conn, err
}

// connect finds the services of a node by address.
func (r *router) connect(ctx context.Context, target string) (*grpc.ClientConn, error) {
	if r.boot.IsLocal(target) {
		return r.local, nil
	}

	refuse := func(reason string) (*grpc.ClientConn, error) {
		select {
		case <-ctx.Done():
		case <-time.After(unreachableDelay):
		}

		return nil, status.Errorf(codes.Unavailable, "connection error: desc = %q", "transport: "+reason)
	}

	addr, err := netip.ParseAddr(target)
	if err != nil {
		addrs, err := r.boot.Resolve(target)
		if err != nil {
			return refuse("Error while dialing: dial tcp: " + err.Error())
		}

		addr = addrs[0]
	}

	found, err := r.boot.Route(addr, fabric.PortAPI)
	if err != nil {
		return refuse("Error while dialing: " + err.Error())
	}

	remote := found.Boot()
	if remote == nil {
		return refuse(fmt.Sprintf("Error while dialing: dial tcp %s:%d: connect: connection refused", target, fabric.PortAPI))
	}

	// Between nodes both sides show certificates of the cluster's CA.
	own := r.boot.Config().Machine().Security().IssuingCA()
	if remote.Config() == nil || own == nil || !strings.Contains(string(machineconfig.AcceptedCAs(remote.Config())), string(own.Crt)) {
		return refuse("authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority")
	}

	return remote.API().Conn(), nil
}

// AppendInfo implements proxy.Backend: it adds the node's address to each message of an aggregated reply. All replies
// are lists of messages in field 1, whose field 1 is common.Metadata; protobuf lets fields be appended as bytes.
func (b *backend) AppendInfo(streaming bool, reply []byte) ([]byte, error) {
	payload, err := proto.Marshal(&common.Empty{Metadata: &common.Metadata{Hostname: b.target}})
	if err != nil || streaming {
		return append(reply, payload...), err
	}

	field, kind, tag := protowire.ConsumeTag(reply)
	if tag < 0 || field != 1 || kind != protowire.BytesType {
		return nil, fmt.Errorf("unexpected message format: field %d", field)
	}

	_, length := protowire.ConsumeVarint(reply[tag:])
	if length < 0 {
		return nil, protowire.ParseError(length)
	}

	message := append(reply[tag+length:], payload...)

	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), message), nil
}

// BuildError implements proxy.Backend: in an aggregated reply the error of a node is a message with nothing but
// metadata.
func (b *backend) BuildError(streaming bool, failure error) ([]byte, error) {
	empty := &common.Empty{Metadata: &common.Metadata{
		Hostname: b.target, Error: failure.Error(), Status: status.Convert(failure).Proto(),
	}}

	if streaming {
		return proto.Marshal(empty)
	}

	return proto.Marshal(&common.EmptyResponse{Messages: []*common.Empty{empty}})
}
