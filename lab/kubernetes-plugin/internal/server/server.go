// Package server is the provider that the engine speaks to: it is configured once and hands each
// resource to the package for its kind.
package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/host"
	"github.com/oxide-lab/kubernetes-plugin/internal/object"
	"github.com/oxide-lab/kubernetes-plugin/internal/release"
)

// Server implements the engine's resource provider protocol.
type Server struct {
	pulumirpc.UnimplementedResourceProviderServer

	version string
	engine  *host.Engine
	context context.Context
	cancel  context.CancelFunc

	mutex    sync.RWMutex
	cluster  *cluster.Cluster
	objects  *object.Provider
	releases *release.Provider
	// What to do with resources of an unreachable cluster, as configured.
	deleteUnreachable, skipUpdateUnreachable bool
}

// New gives an unconfigured provider of the given version.
func New(version string, engine *host.Engine) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{version: version, engine: engine, context: ctx, cancel: cancel}
}

// Handshake tells the engine what the provider can take.
func (s *Server) Handshake(
	_ context.Context, request *pulumirpc.ProviderHandshakeRequest,
) (*pulumirpc.ProviderHandshakeResponse, error) {
	if address := request.GetEngineAddress(); address != "" {
		if err := s.engine.Attach(address); err != nil {
			return nil, err
		}
	}
	return &pulumirpc.ProviderHandshakeResponse{
		AcceptSecrets: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// Attach connects a provider that was started without an engine.
func (s *Server) Attach(_ context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.engine.Attach(request.GetAddress())
}

// GetPluginInfo gives the plugin's version.
func (s *Server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.version}, nil
}

// GetSchema gives the name and version only: SDKs are not generated from this plugin.
func (s *Server) GetSchema(
	_ context.Context, request *pulumirpc.GetSchemaRequest,
) (*pulumirpc.GetSchemaResponse, error) {
	if version := request.GetVersion(); version != 0 {
		return nil, fmt.Errorf("unsupported schema version %d", version)
	}
	return &pulumirpc.GetSchemaResponse{
		Schema: fmt.Sprintf(`{"name":"kubernetes","version":%q}`, s.version),
	}, nil
}

// Cancel ends the operations under way with an error.
func (s *Server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	s.cancel()
	return &emptypb.Empty{}, nil
}

// Invoke refuses every function: templates and manifests are not rendered in the engine's process.
func (s *Server) Invoke(
	_ context.Context, request *pulumirpc.InvokeRequest,
) (*pulumirpc.InvokeResponse, error) {
	return nil, status.Errorf(codes.Unimplemented,
		"the lab's kubernetes plugin has no function %q", request.GetTok())
}

// handler is what both kinds of resources can do.
type handler interface {
	Check(context.Context, *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error)
	Diff(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error)
	Create(context.Context, *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error)
	Read(context.Context, *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error)
	Update(context.Context, *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error)
	Delete(context.Context, *pulumirpc.DeleteRequest) (*emptypb.Empty, error)
}

func (s *Server) handler(urn string) (handler, error) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	if s.cluster == nil {
		return nil, errors.New("the provider is not configured")
	}
	token := string(resource.URN(urn).Type())
	if token == release.Token {
		return s.releases, nil
	}
	for _, rendered := range []string{"kubernetes:yaml", "kubernetes:helm.sh/", "kubernetes:kustomize"} {
		if strings.HasPrefix(token, rendered) {
			return nil, fmt.Errorf("the lab's kubernetes plugin has no resource %q", token)
		}
	}
	return s.objects, nil
}

// Check completes and validates the inputs of a resource.
func (s *Server) Check(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	if s.cluster.Unreachable != "" && s.skipUpdateUnreachable {
		s.engine.Warn(request.GetUrn(),
			"Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...")
		return &pulumirpc.CheckResponse{Inputs: request.GetOlds()}, nil
	}
	return h.Check(ctx, request)
}

// Diff says what an update would change, and whether it replaces the resource.
func (s *Server) Diff(ctx context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	return h.Diff(ctx, request)
}

// Create makes a resource.
func (s *Server) Create(ctx context.Context, request *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	return h.Create(ctx, request)
}

// Read looks a resource up in the cluster.
func (s *Server) Read(ctx context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	if s.cluster.Unreachable != "" {
		return s.readUnreachable(request)
	}
	return h.Read(ctx, request)
}

func (s *Server) readUnreachable(request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	unreachable := &cluster.UnreachableError{Reason: s.cluster.Unreachable}
	s.engine.Warn(request.GetUrn(), unreachable.Error())
	switch {
	case s.deleteUnreachable:
		s.engine.Info(request.GetUrn(), "configured Kubernetes cluster is unreachable and the "+
			"`deleteUnreachable` option is enabled. Deleting the unreachable resource from Pulumi state")
		return &pulumirpc.ReadResponse{}, nil
	case s.skipUpdateUnreachable:
		s.engine.Info(request.GetUrn(), "configured Kubernetes cluster is unreachable and the "+
			"`skipUnreachable` option is enabled. Returned data could not reflect the actual cluster "+
			"configuration.")
		return &pulumirpc.ReadResponse{
			Id: request.GetId(), Properties: request.GetProperties(), Inputs: request.GetInputs(),
		}, nil
	}
	return nil, errors.New("failed to read resource state due to unreachable cluster. If the cluster was " +
		"deleted, you can remove this resource from Pulumi state by rerunning the operation with the " +
		"PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\"")
}

// Update changes a resource in place.
func (s *Server) Update(ctx context.Context, request *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	return h.Update(ctx, request)
}

// Delete removes a resource.
func (s *Server) Delete(ctx context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	h, err := s.handler(request.GetUrn())
	if err != nil {
		return nil, err
	}
	return h.Delete(ctx, request)
}
