// Package provider serves resources and functions that are described by a Spec to the Pulumi engine.
package provider

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"oxide.lab/plugins/internal/schema"
)

// Spec is a provider: its settings, resources and functions.
type Spec struct {
	Name    string
	Version string
	// Config describes the provider's settings.
	Config schema.Properties
	// Configure takes the settings into use. Values are plain.
	Configure func(ctx context.Context, config schema.Values) error
	Resources map[string]*Resource
	Functions map[string]*Function
}

// Server implements the engine's provider protocol for a Spec.
type Server struct {
	pulumirpc.UnimplementedResourceProviderServer
	spec *Spec

	mu     sync.Mutex
	engine pulumirpc.EngineClient
}

// New returns a server for the spec.
func New(spec *Spec) *Server { return &Server{spec: spec} }

func (s *Server) attach(address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		rpcutil.GrpcChannelOptions())
	if err != nil {
		return fmt.Errorf("the engine at %s cannot be reached: %w", address, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine = pulumirpc.NewEngineClient(conn)
	return nil
}

// warn shows a warning next to the resource in the engine's output.
func (s *Server) warn(ctx context.Context, urn, message string) {
	s.mu.Lock()
	engine := s.engine
	s.mu.Unlock()
	if engine != nil {
		_, _ = engine.Log(ctx, &pulumirpc.LogRequest{
			Severity: pulumirpc.LogSeverity_WARNING, Urn: urn, Message: message,
		})
	}
}

// Handshake tells the engine what this server understands.
func (s *Server) Handshake(
	context.Context, *pulumirpc.ProviderHandshakeRequest,
) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{
		AcceptSecrets: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// Attach connects to the engine when the plugin was started by somebody else.
func (s *Server) Attach(_ context.Context, req *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.attach(req.GetAddress())
}

// GetPluginInfo returns the version.
func (s *Server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.spec.Version}, nil
}

// GetSchema returns the package's name and version only.
func (s *Server) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{
		Schema: fmt.Sprintf(`{"name":%q,"version":%q}`, s.spec.Name, s.spec.Version),
	}, nil
}

// CheckConfig validates the settings.
func (s *Server) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	checker := &schema.Checker{Name: resource.URN(req.GetUrn()).Name()}
	known := resource.PropertyMap{}
	for key, value := range news {
		if _, ok := s.spec.Config[string(key)]; ok {
			known[key] = value
		}
	}
	checker.Check(s.spec.Config, known)
	var failures []*pulumirpc.CheckFailure
	for _, reason := range checker.Failures {
		reason, _, _ = strings.Cut(reason, ". Examine values")
		failures = append(failures, &pulumirpc.CheckFailure{
			Reason: fmt.Sprintf("could not validate provider configuration: %s.", reason),
		})
	}
	inputs, err := encode(schema.MarkSecrets(s.spec.Config, news, nil))
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

// DiffConfig says whether the settings changed; a change never replaces the provider.
func (s *Server) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := decode(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	resp := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for _, change := range schema.Diff(s.spec.Config, schema.PlainMap(olds), schema.PlainMap(news)) {
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		resp.Diffs = append(resp.Diffs, change.Path)
	}
	return resp, nil
}

// Configure takes the settings into use.
func (s *Server) Configure(ctx context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	config, err := decode(req.GetArgs())
	if err != nil {
		return nil, err
	}
	if req.GetArgs() == nil {
		for key, value := range req.GetVariables() {
			config[resource.PropertyKey(key[strings.LastIndex(key, ":")+1:])] = resource.NewProperty(value)
		}
	}
	if s.spec.Configure != nil {
		if err := s.spec.Configure(ctx, schema.Values{Map: schema.PlainMap(config)}); err != nil {
			return nil, err
		}
	}
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// Cancel is heard but changes nothing: operations under way run to their end, so that the state
// records what they did.
func (s *Server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func decode(props *structpb.Struct) (resource.PropertyMap, error) {
	if props == nil {
		return resource.PropertyMap{}, nil
	}
	return plugin.UnmarshalProperties(props, plugin.MarshalOptions{
		KeepUnknowns: true, KeepSecrets: true, SkipNulls: true,
	})
}

func encode(props resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(props, plugin.MarshalOptions{
		KeepUnknowns: true, KeepSecrets: true, SkipNulls: true,
	})
}
