package server

import (
	"context"
	"reflect"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// CheckConfig validates the provider's configuration.
func (s *Server) CheckConfig(
	_ context.Context, request *pulumirpc.CheckRequest,
) (*pulumirpc.CheckResponse, error) {
	news, err := property.Decode("provider inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.CheckResponse{Inputs: request.GetNews()}
	for _, key := range []resource.PropertyKey{"renderYamlToDirectory", "alwaysRender"} {
		if value := news[key]; value.HasValue() && !isFalse(value) {
			response.Failures = append(response.Failures, &pulumirpc.CheckFailure{
				Property: string(key),
				Reason:   "the lab's kubernetes plugin does not render YAML to a directory",
			})
		}
	}
	return response, nil
}

func isFalse(value resource.PropertyValue) bool {
	return (value.IsString() && (value.StringValue() == "" || value.StringValue() == "false")) ||
		(value.IsBool() && !value.BoolValue())
}

const clusterIdentifier = "clusterIdentifier"

// DiffConfig decides whether another configuration means another cluster, which replaces everything
// in it. An unchanged clusterIdentifier says that it does not. Without one, a cluster is what the
// active context of the kubeconfig points to, and an unknown kubeconfig may be any.
func (s *Server) DiffConfig(
	_ context.Context, request *pulumirpc.DiffRequest,
) (*pulumirpc.DiffResponse, error) {
	olds, err := decodeConfig("old provider inputs", request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := decodeConfig("provider inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	diff := olds.Diff(news)
	if diff == nil {
		return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
	}
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_SOME}
	if diff.Updated(clusterIdentifier) {
		response.Replaces = append(response.Replaces, clusterIdentifier)
	}
	if diff.Same(clusterIdentifier) && news.HasValue(clusterIdentifier) {
		defer func() { response.Replaces = nil }()
	}
	selecting := []resource.PropertyKey{"kubeconfig", "context", "cluster"}
	for _, key := range selecting {
		if news[key].IsComputed() {
			response.Diffs = []string{string(key)}
			response.Replaces = append(response.Replaces, string(key))
			return response, nil
		}
	}
	for _, key := range diff.ChangedKeys() {
		response.Diffs = append(response.Diffs, string(key))
	}
	moved, err := clusterChanged(olds, news)
	if err != nil {
		return nil, err
	}
	for _, key := range selecting {
		if moved && slices.Contains(response.Diffs, string(key)) {
			response.Replaces = append(response.Replaces, string(key))
		}
	}
	return response, nil
}

func clusterChanged(olds, news resource.PropertyMap) (bool, error) {
	oldConfig, err := cluster.ParseKubeconfigProperty(olds["kubeconfig"])
	if err != nil {
		return false, err
	}
	newConfig, err := cluster.ParseKubeconfigProperty(news["kubeconfig"])
	if err != nil {
		return false, err
	}
	before := cluster.ActiveCluster(oldConfig, text(olds["context"]), text(olds["cluster"]))
	after := cluster.ActiveCluster(newConfig, text(news["context"]), text(news["cluster"]))
	return before != nil && after != nil && !reflect.DeepEqual(before, after), nil
}

func text(value resource.PropertyValue) string {
	if value.IsString() {
		return value.StringValue()
	}
	return ""
}
