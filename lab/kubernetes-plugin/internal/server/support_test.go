package server

import (
	"context"
	"fmt"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/oxide-lab/kubernetes-plugin/internal/host"
)

const (
	ciliumChart  = "../../../charts/cilium"
	releaseURN   = "urn:pulumi:dev::test::kubernetes:helm.sh/v3:Release::cilium"
	namespaceURN = "urn:pulumi:dev::test::kubernetes:core/v1:Namespace::app"
	configMapURN = "urn:pulumi:dev::test::kubernetes:core/v1:ConfigMap::settings"
	secretURN    = "urn:pulumi:dev::test::kubernetes:core/v1:Secret::cred"
	policyURN    = "urn:pulumi:dev::test::kubernetes:cilium.io/v2:CiliumClusterwideNetworkPolicy::metadata"
	providerURN  = "urn:pulumi:dev::test::pulumi:providers:kubernetes::lab"
)

var (
	unknown = resource.MakeComputed(resource.NewStringProperty(""))
	secret  = func(text string) resource.PropertyValue {
		return resource.MakeSecret(resource.NewStringProperty(text))
	}
)

func properties(values map[string]any) resource.PropertyMap {
	return resource.NewPropertyMapFromMap(values)
}

func wire(t *testing.T, values resource.PropertyMap) *structpb.Struct {
	t.Helper()
	encoded, err := plugin.MarshalProperties(values, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func unwire(t *testing.T, encoded *structpb.Struct) resource.PropertyMap {
	t.Helper()
	values, err := plugin.UnmarshalProperties(encoded, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func kubeconfig(server, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: admin@lab, context: {cluster: lab, user: admin}}]
current-context: admin@lab
`, server, token)
}

// nowhere is a kubeconfig of a cluster that refuses connections: the port is reserved and unused.
var nowhere = kubeconfig("https://127.0.0.1:1", "token")

func configured(t *testing.T, variables map[string]string) *Server {
	t.Helper()
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		t.Setenv("HELM_"+home+"_HOME", t.TempDir())
	}
	s := New("4.34.2", &host.Engine{})
	t.Cleanup(s.cancel)
	prefixed := map[string]string{}
	for key, value := range variables {
		prefixed["kubernetes:config:"+key] = value
	}
	_, err := s.Configure(context.Background(), &pulumirpc.ConfigureRequest{
		Variables: prefixed, AcceptSecrets: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(
	t *testing.T, s *Server, urn string, olds, news resource.PropertyMap,
) (resource.PropertyMap, []*pulumirpc.CheckFailure) {
	t.Helper()
	request := &pulumirpc.CheckRequest{Urn: urn, News: wire(t, news), RandomSeed: make([]byte, 32)}
	if olds != nil {
		request.Olds = wire(t, olds)
	}
	response, err := s.Check(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	return unwire(t, response.GetInputs()), response.GetFailures()
}

func diff(t *testing.T, s *Server, urn string, olds, news resource.PropertyMap) *pulumirpc.DiffResponse {
	t.Helper()
	response, err := s.Diff(context.Background(), &pulumirpc.DiffRequest{
		Urn: urn, Olds: wire(t, olds), News: wire(t, news),
	})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func preview(t *testing.T, s *Server, urn string, inputs resource.PropertyMap) resource.PropertyMap {
	t.Helper()
	response, err := s.Create(context.Background(), &pulumirpc.CreateRequest{
		Urn: urn, Properties: wire(t, inputs), Preview: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return unwire(t, response.GetProperties())
}

func ciliumInputs(more map[string]any) resource.PropertyMap {
	inputs := map[string]any{
		"name": "cilium", "namespace": "kube-system", "chart": ciliumChart,
		"values": map[string]any{
			"ipam":           map[string]any{"mode": "kubernetes"},
			"k8sServiceHost": "localhost", "k8sServicePort": 7445.0, "kubeProxyReplacement": true,
		},
	}
	for key, value := range more {
		inputs[key] = value
	}
	return properties(inputs)
}
