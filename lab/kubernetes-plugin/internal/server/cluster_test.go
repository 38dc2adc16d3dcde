package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func create(s *Server, t *testing.T, urn string, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	t.Helper()
	response, err := s.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn, Properties: wire(t, inputs)})
	if err != nil {
		return "", nil, err
	}
	return response.GetId(), unwire(t, response.GetProperties()), nil
}

func update(s *Server, t *testing.T, urn string, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	t.Helper()
	response, err := s.Update(context.Background(), &pulumirpc.UpdateRequest{
		Urn: urn, Olds: wire(t, state), News: wire(t, inputs),
	})
	if err != nil {
		return nil, err
	}
	return unwire(t, response.GetProperties()), nil
}

// incomplete gives the id and state that the engine would record of a failed operation.
func incomplete(t *testing.T, err error) (string, resource.PropertyMap) {
	t.Helper()
	if converted, ok := rpcerror.FromError(err); ok {
		for _, detail := range converted.Details() {
			if failed, ok := detail.(*pulumirpc.ErrorResourceInitFailed); ok {
				return failed.GetId(), unwire(t, failed.GetProperties())
			}
		}
	}
	t.Fatalf("the failure is not recorded: %v", err)
	return "", nil
}

func TestAgainstAnAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Kubernetes API server")
	}
	config := apiServer(t)
	t.Run("release", func(t *testing.T) { testRelease(t, configured(t, map[string]string{"kubeconfig": config})) })
	t.Run("objects", func(t *testing.T) { testObjects(t, configured(t, map[string]string{"kubeconfig": config})) })
}

func testRelease(t *testing.T, s *Server) {
	// Nothing runs Pods here, so a release that is awaited does not come up.
	inputs, failures := check(t, s, releaseURN, nil, ciliumInputs(map[string]any{"timeout": 3.0}))
	if failures != nil {
		t.Fatal(failures)
	}
	_, _, err := create(s, t, releaseURN, inputs)
	if err == nil || !strings.Contains(err.Error(), "was created, but failed to initialize completely") {
		t.Fatalf("create that times out: %v", err)
	}
	id, state := incomplete(t, err)
	if status := state["status"].ObjectValue()["status"].V; id != "kube-system/cilium" || status != "failed" {
		t.Errorf("recorded id %q, status %v", id, status)
	}

	if _, _, err := create(s, t, releaseURN, inputs); err == nil ||
		!strings.Contains(err.Error(), "cannot re-use a name that is still in use") {
		t.Errorf("second create: %v", err)
	}

	repaired, _ := check(t, s, releaseURN, inputs, ciliumInputs(map[string]any{"skipAwait": true}))
	state, err = update(s, t, releaseURN, state, repaired)
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	status := state["status"].ObjectValue()
	if status["status"].V != "deployed" || status["revision"].V != 2.0 {
		t.Errorf("status after the repair: %v", status)
	}
	names := state["resourceNames"].ObjectValue()["DaemonSet.apps/apps/v1"].Mappable()
	if list, _ := names.([]any); len(list) == 0 || list[0] != "kube-system/cilium" {
		t.Errorf("DaemonSets of the release: %v", names)
	}
	if response := diff(t, s, releaseURN, state, repaired); response.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("unchanged release differs in %v", response.GetDetailedDiff())
	}

	imported, err := s.Read(context.Background(), &pulumirpc.ReadRequest{Urn: releaseURN, Id: "kube-system/cilium"})
	if err != nil || imported.GetId() != "kube-system/cilium" {
		t.Fatalf("import: %v, %v", imported.GetId(), err)
	}
	if name := unwire(t, imported.GetInputs())["name"].V; name != "cilium" {
		t.Errorf("imported inputs name %v", name)
	}

	policy, _ := check(t, s, policyURN, nil, properties(map[string]any{
		"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
		"metadata": map[string]any{"name": "metadata"},
		"spec": map[string]any{
			"endpointSelector":  map[string]any{},
			"enableDefaultDeny": map[string]any{"egress": false},
			"egressDeny":        []any{map[string]any{"toCIDR": []any{"169.254.169.254/32"}}},
		},
	}))
	id, policyState, err := create(s, t, policyURN, policy)
	if err != nil || id != "metadata" {
		t.Errorf("policy %q: %v", id, err)
	}
	if response := diff(t, s, policyURN, policyState, policy); response.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("unchanged policy differs in %v", response.GetDetailedDiff())
	}

	interrupt(t, s, "cilium", helmrelease.StatusPendingUpgrade)
	if _, err := update(s, t, releaseURN, state, repaired); err == nil ||
		!strings.Contains(err.Error(), "another operation (install/upgrade/rollback) is in progress") {
		t.Errorf("update of an interrupted release: %v", err)
	}

	request := &pulumirpc.DeleteRequest{Urn: releaseURN, Id: "kube-system/cilium", Properties: wire(t, state)}
	if _, err := s.Delete(context.Background(), request); err != nil {
		t.Errorf("delete: %v", err)
	}
	gone, err := s.Read(context.Background(), &pulumirpc.ReadRequest{
		Urn: releaseURN, Id: "kube-system/cilium", Properties: wire(t, state),
	})
	if err != nil || gone.GetId() != "" {
		t.Errorf("read after the delete: %v, %v", gone.GetId(), err)
	}
	if _, err := s.Delete(context.Background(), request); err == nil {
		t.Error("deleting a release that Helm does not know succeeded")
	}
}

// interrupt leaves a release as a killed operation does.
func interrupt(t *testing.T, s *Server, name string, status helmrelease.Status) {
	t.Helper()
	configuration := new(action.Configuration)
	if err := configuration.Init(s.cluster.Getter("kube-system"), "kube-system", "secret", t.Logf); err != nil {
		t.Fatal(err)
	}
	stored, err := configuration.Releases.Last(name)
	if err != nil {
		t.Fatal(err)
	}
	stored.Info.Status = status
	if err := configuration.Releases.Update(stored); err != nil {
		t.Fatal(err)
	}
}

func testObjects(t *testing.T, s *Server) {
	inputs, _ := check(t, s, configMapURN, nil, configMap("settings", map[string]any{"a": "1", "b": "1"}))
	id, state, err := create(s, t, configMapURN, inputs)
	if err != nil || id != "default/settings" {
		t.Fatalf("create %q: %v", id, err)
	}
	if _, _, err := create(s, t, configMapURN, inputs); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("second create: %v", err)
	}

	live := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"},
	}}
	endpoint, err := s.cluster.Resource(live)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()

	s.objects.MutableConfigMaps = true
	without, _ := check(t, s, configMapURN, inputs, configMap("settings", map[string]any{"a": "2"}))
	if state, err = update(s, t, configMapURN, state, without); err != nil {
		t.Fatalf("update: %v", err)
	}
	current, err := endpoint.Get(ctx, "settings", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if data := current.Object["data"].(map[string]any); len(data) != 1 || data["a"] != "2" {
		t.Errorf("data after the update: %v", data)
	}

	_, err = endpoint.Patch(ctx, "settings", types.MergePatchType, []byte(`{"data":{"a":"drift"}}`),
		metav1.PatchOptions{FieldManager: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	refreshed, err := s.Read(ctx, &pulumirpc.ReadRequest{
		Urn: configMapURN, Id: id, Properties: wire(t, state), Inputs: wire(t, without),
	})
	if err != nil {
		t.Fatal(err)
	}
	state = unwire(t, refreshed.GetProperties())
	if changes := diff(t, s, configMapURN, state, without).GetDetailedDiff(); changes["data.a"] == nil {
		t.Errorf("drift shows as %v", changes)
	}
	_, err = update(s, t, configMapURN, state, without)
	if err == nil || !strings.Contains(err.Error(), "field conflict") {
		t.Errorf("update over somebody else's change: %v", err)
	}
	s.objects.PatchForce = true
	if _, err := update(s, t, configMapURN, state, without); err != nil {
		t.Errorf("forced update: %v", err)
	}

	request := &pulumirpc.DeleteRequest{Urn: configMapURN, Id: id, Properties: wire(t, state)}
	if err := endpoint.Delete(ctx, "settings", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(ctx, request); err != nil {
		t.Errorf("delete of what is gone: %v", err)
	}

	unserved, _ := check(t, s, "urn:pulumi:dev::test::kubernetes:example.com/v1:Widget::w", nil, properties(map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w"},
	}))
	s.cancel() // does not wait for a definition that never comes
	_, _, err = create(s, t, "urn:pulumi:dev::test::kubernetes:example.com/v1:Widget::w", unserved)
	if err == nil || (!errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "context canceled")) {
		t.Errorf("create of an unknown kind: %v", err)
	}
}
