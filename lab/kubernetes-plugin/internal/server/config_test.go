package server

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/oxide-lab/kubernetes-plugin/internal/host"
)

func TestDiffConfigReplacesOnlyForAnotherCluster(t *testing.T) {
	first := kubeconfig("https://127.0.0.1:1", "old")
	renewed := kubeconfig("https://127.0.0.1:1", "new")
	moved := kubeconfig("https://127.0.0.2:1", "new")
	for name, test := range map[string]struct {
		olds, news resource.PropertyMap
		changes    pulumirpc.DiffResponse_DiffChanges
		replaces   []string
	}{
		"nothing changed": {
			properties(map[string]any{"kubeconfig": first}), properties(map[string]any{"kubeconfig": first}),
			pulumirpc.DiffResponse_DIFF_NONE, nil,
		},
		"renewed credentials": {
			properties(map[string]any{"kubeconfig": first}), properties(map[string]any{"kubeconfig": renewed}),
			pulumirpc.DiffResponse_DIFF_SOME, nil,
		},
		"another server": {
			properties(map[string]any{"kubeconfig": first}), properties(map[string]any{"kubeconfig": moved}),
			pulumirpc.DiffResponse_DIFF_SOME, []string{"kubeconfig"},
		},
		"unknown kubeconfig": {
			properties(map[string]any{"kubeconfig": first}), resource.PropertyMap{"kubeconfig": unknown},
			pulumirpc.DiffResponse_DIFF_SOME, []string{"kubeconfig"},
		},
		"another server, same identifier": {
			properties(map[string]any{"kubeconfig": first, "clusterIdentifier": "a"}),
			properties(map[string]any{"kubeconfig": moved, "clusterIdentifier": "a"}),
			pulumirpc.DiffResponse_DIFF_SOME, nil,
		},
		"unknown kubeconfig, same identifier": {
			properties(map[string]any{"kubeconfig": first, "clusterIdentifier": "a"}),
			resource.PropertyMap{"kubeconfig": unknown, "clusterIdentifier": resource.NewStringProperty("a")},
			pulumirpc.DiffResponse_DIFF_SOME, nil,
		},
		"another identifier": {
			properties(map[string]any{"kubeconfig": first, "clusterIdentifier": "a"}),
			properties(map[string]any{"kubeconfig": first, "clusterIdentifier": "b"}),
			pulumirpc.DiffResponse_DIFF_SOME, []string{"clusterIdentifier"},
		},
		"an identifier for the first time": {
			properties(map[string]any{"kubeconfig": first}),
			properties(map[string]any{"kubeconfig": first, "clusterIdentifier": "a"}),
			pulumirpc.DiffResponse_DIFF_SOME, nil,
		},
		"a kubeconfig that became secret": {
			properties(map[string]any{"kubeconfig": first}), resource.PropertyMap{"kubeconfig": secret(first)},
			pulumirpc.DiffResponse_DIFF_NONE, nil,
		},
	} {
		response, err := New("4.34.2", &host.Engine{}).DiffConfig(context.Background(), &pulumirpc.DiffRequest{
			Urn: providerURN, Olds: wire(t, test.olds), News: wire(t, test.news),
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if response.GetChanges() != test.changes || !slices.Equal(response.GetReplaces(), test.replaces) {
			t.Errorf("%s: got %v, replaces %v", name, response.GetChanges(), response.GetReplaces())
		}
	}
}

func TestUnreachableClusterFailsOnlyWhatNeedsIt(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	inputs, failures := check(t, s, releaseURN, nil, ciliumInputs(nil))
	if failures != nil {
		t.Fatalf("check of a release: %v", failures)
	}
	if state := preview(t, s, releaseURN, inputs); !state["status"].IsComputed() {
		t.Errorf("previewed status: %v", state["status"])
	}
	object, _ := check(t, s, namespaceURN, nil, properties(map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "app"},
	}))
	preview(t, s, namespaceURN, object)

	ctx := context.Background()
	state := inputs.Copy()
	state["__inputs"] = resource.MakeSecret(resource.NewObjectProperty(inputs))
	for name, test := range map[string]struct {
		call   func() error
		reason string
	}{
		"create a release": {func() error {
			_, err := s.Create(ctx, &pulumirpc.CreateRequest{Urn: releaseURN, Properties: wire(t, inputs)})
			return err
		}, "can't create Helm Release with unreachable cluster: "},
		"update a release": {func() error {
			_, err := s.Update(ctx, &pulumirpc.UpdateRequest{
				Urn: releaseURN, Olds: wire(t, state), News: wire(t, inputs),
			})
			return err
		}, "can't update Helm Release with unreachable cluster: "},
		"delete a release": {func() error {
			_, err := s.Delete(ctx, &pulumirpc.DeleteRequest{Urn: releaseURN, Properties: wire(t, state)})
			return err
		}, "can't delete Helm Release with unreachable cluster. Reason: "},
		"create an object": {func() error {
			_, err := s.Create(ctx, &pulumirpc.CreateRequest{Urn: namespaceURN, Properties: wire(t, object)})
			return err
		}, "configured Kubernetes cluster is unreachable: unable to load schema information"},
		"delete an object": {func() error {
			_, err := s.Delete(ctx, &pulumirpc.DeleteRequest{Urn: namespaceURN, Properties: wire(t, object)})
			return err
		}, "PULUMI_K8S_DELETE_UNREACHABLE"},
		"read a release": {func() error {
			_, err := s.Read(ctx, &pulumirpc.ReadRequest{Urn: releaseURN, Id: "kube-system/cilium"})
			return err
		}, "failed to read resource state due to unreachable cluster"},
	} {
		if err := test.call(); err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: got %v, want %q", name, err, test.reason)
		}
	}
}

func TestDeleteUnreachableForgetsObjectsButNotReleases(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere, "deleteUnreachable": "true"})
	ctx := context.Background()
	if _, err := s.Delete(ctx, &pulumirpc.DeleteRequest{Urn: namespaceURN}); err != nil {
		t.Errorf("delete of an object: %v", err)
	}
	if _, err := s.Delete(ctx, &pulumirpc.DeleteRequest{Urn: releaseURN}); err == nil {
		t.Error("delete of a release succeeded")
	}
	read, err := s.Read(ctx, &pulumirpc.ReadRequest{Urn: namespaceURN, Id: "app"})
	if err != nil || read.GetId() != "" {
		t.Errorf("read of an object: %v, %v", read, err)
	}
}

func TestMalformedKubeconfigIsAnUnreachableCluster(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": "{"})
	if want := "failed to parse kubeconfig data"; !strings.Contains(s.cluster.Unreachable, want) {
		t.Errorf("unreachable because %q, want %q", s.cluster.Unreachable, want)
	}
}
