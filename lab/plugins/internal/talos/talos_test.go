package talos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

const (
	secretsURN = "urn:pulumi:s::p::talos:machine/secrets:Secrets::secrets"
	configFn   = "talos:machine/getConfiguration:getConfiguration"
)

func pack(t *testing.T, values resource.PropertyMap) *structpb.Struct {
	t.Helper()
	props, err := plugin.MarshalProperties(values, plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true})
	if err != nil {
		t.Fatal(err)
	}
	return props
}

func unpack(t *testing.T, props *structpb.Struct) resource.PropertyMap {
	t.Helper()
	values, err := plugin.UnmarshalProperties(props, plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// made are secrets that the tests share: a new RSA key takes seconds.
var made = sync.OnceValues(func() (*structpb.Struct, error) {
	props, err := plugin.MarshalProperties(resource.PropertyMap{"talosVersion": schema.Text("v1.13")}, plugin.MarshalOptions{})
	if err != nil {
		return nil, err
	}
	resp, err := provider.New(Spec()).Create(context.Background(), &pulumirpc.CreateRequest{Urn: secretsURN, Properties: props})
	if resp.GetId() != "machine_secrets" {
		return nil, fmt.Errorf("id %q: %w", resp.GetId(), err)
	}
	return resp.GetProperties(), err
})

func newSecrets(t *testing.T) resource.PropertyMap {
	t.Helper()
	props, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return unpack(t, props)
}

func configuration(t *testing.T, s *provider.Server, secrets resource.PropertyValue, more resource.PropertyMap) (string, error) {
	t.Helper()
	args := resource.PropertyMap{
		"clusterName": schema.Text("c"), "clusterEndpoint": schema.Text("https://api.c.internal:6443"),
		"machineType": schema.Text("controlplane"), "machineSecrets": secrets,
	}
	for key, value := range more {
		args[key] = value
	}
	resp, err := s.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: configFn, Args: pack(t, args)})
	if err != nil {
		return "", err
	}
	out := unpack(t, resp.GetReturn())["machineConfiguration"]
	if !out.IsSecret() {
		t.Error("the machine configuration is not secret")
	}
	return schema.Plain(out).StringValue(), nil
}

// snaked writes the keys as the Python SDK does in outputs.
func snaked(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return resource.MakeSecret(snaked(value.SecretValue().Element))
	case value.IsObject():
		out := resource.PropertyMap{}
		for key, item := range value.ObjectValue() {
			text := strings.NewReplacer("k8sAggregator", "k8s_aggregator", "k8sServiceaccount", "k8s_serviceaccount",
				"bootstrapToken", "bootstrap_token", "secretboxEncryptionSecret", "secretbox_encryption_secret").Replace(string(key))
			out[resource.PropertyKey(text)] = snaked(item)
		}
		return resource.NewProperty(out)
	default:
		return value
	}
}

func TestSecretsMarkExactlyTheirSecretLeaves(t *testing.T) {
	out := newSecrets(t)
	machine := out["machineSecrets"].ObjectValue()
	certs := machine["certs"].ObjectValue()
	for name, value := range map[string]resource.PropertyValue{
		"os key": certs["os"].ObjectValue()["key"], "account key": certs["k8sServiceaccount"].ObjectValue()["key"],
		"cluster secret": machine["cluster"].ObjectValue()["secret"], "trustd": machine["trustdinfo"].ObjectValue()["token"],
		"token": machine["secrets"].ObjectValue()["bootstrapToken"], "client": out["clientConfiguration"].ObjectValue()["clientKey"],
	} {
		if !value.IsSecret() {
			t.Errorf("%s is not secret", name)
		}
	}
	if certs["os"].ObjectValue()["cert"].IsSecret() || machine["cluster"].ObjectValue()["id"].IsSecret() {
		t.Error("certificates and the cluster id are no secrets")
	}
}

func TestSecretsAreReplacedWhenTheVersionGoesDownAndUpdatedWhenItGoesUp(t *testing.T) {
	s := provider.New(Spec())
	state := newSecrets(t)
	for version, replaced := range map[string]bool{"v1.12": true, "1.12.4": true, "v1.14": false, "v1.13": false} {
		resp, err := s.Diff(t.Context(), &pulumirpc.DiffRequest{
			Urn: secretsURN, Id: "machine_secrets", Olds: pack(t, state),
			News: pack(t, resource.PropertyMap{"talosVersion": schema.Text(version)}),
		})
		if err != nil || (len(resp.GetReplaces()) > 0) != replaced {
			t.Errorf("%s: replaces %v, %v", version, resp.GetReplaces(), err)
		}
		if changed := resp.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME; changed != (version != "v1.13") {
			t.Errorf("%s: changed %v", version, changed)
		}
	}
	resp, err := s.Update(t.Context(), &pulumirpc.UpdateRequest{
		Urn: secretsURN, Id: "machine_secrets", Olds: pack(t, state),
		News: pack(t, resource.PropertyMap{"talosVersion": schema.Text("v1.14")}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if out := unpack(t, resp.GetProperties()); !out["machineSecrets"].DeepEquals(state["machineSecrets"]) {
		t.Error("an upgrade changed the secrets")
	}
}

func TestClientCertificateIsRenewedInTheLastMonth(t *testing.T) {
	s := provider.New(Spec())
	state := newSecrets(t)
	t.Cleanup(func() { now = time.Now })
	now = func() time.Time { return time.Now().AddDate(0, 11, 15) }
	inputs := pack(t, resource.PropertyMap{"talosVersion": schema.Text("v1.13")})
	diff, err := s.Diff(t.Context(), &pulumirpc.DiffRequest{Urn: secretsURN, Olds: pack(t, state), News: inputs})
	if err != nil || len(diff.GetDiffs()) != 1 || diff.GetDiffs()[0] != "clientConfiguration" || len(diff.GetReplaces()) > 0 {
		t.Fatal(diff, err)
	}
	resp, err := s.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: secretsURN, Olds: pack(t, state), News: inputs})
	if err != nil {
		t.Fatal(err)
	}
	out := unpack(t, resp.GetProperties())
	expires, err := clientExpiry(schema.PlainMap(out))
	if err != nil || expires.Before(now().AddDate(0, 11, 0)) {
		t.Errorf("new certificate expires %v, %v", expires, err)
	}
	if !out["machineSecrets"].DeepEquals(state["machineSecrets"]) {
		t.Error("the renewal changed the secrets")
	}
}

func TestConfigurationRefusesTheKeysOfPythonOutputs(t *testing.T) {
	s := provider.New(Spec())
	_, err := configuration(t, s, snaked(newSecrets(t)["machineSecrets"]), nil)
	if err == nil {
		t.Fatal("accepted snake case")
	}
	for _, path := range []string{
		"certs.k8sAggregator", "certs.k8sServiceaccount", "secrets.bootstrapToken", "secrets.secretboxEncryptionSecret",
	} {
		if !strings.Contains(err.Error(), "[machineSecrets."+path+"] Missing Configuration for Required Attribute") {
			t.Errorf("%s is not named in\n%v", path, err)
		}
	}
}

func TestConfigurationUsesTheVersionsOfTheOfficialProvider(t *testing.T) {
	s := provider.New(Spec())
	secrets := newSecrets(t)["machineSecrets"]
	text, err := configuration(t, s, secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kubelet:v1.36.0", "ghcr.io/siderolabs/installer:v1.13.0", "kind: HostnameConfig"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the configuration", want)
		}
	}
	if strings.Contains(text, "#") {
		t.Error("documentation is on")
	}
}

func TestConfigurationMergesDocumentsAndRefusesOtherPatches(t *testing.T) {
	s := provider.New(Spec())
	secrets := newSecrets(t)["machineSecrets"]
	patched := func(patch string) (string, error) {
		return configuration(t, s, secrets, resource.PropertyMap{"configPatches": schema.Strings([]string{patch})})
	}
	text, err := patched("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: node-1\n")
	if err != nil || !strings.Contains(text, "hostname: node-1") || strings.Count(text, "kind: HostnameConfig") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
	for patch, reason := range map[string]string{
		`[{"op":"add","path":"/cluster/x","value":1}]`: "JSON6902 patches are not supported for multi-document",
		"machine:\n  nosuch: 1\n":                      "unknown keys found during decoding",
	} {
		if _, err := patched(patch); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v instead of %q", err, reason)
		}
	}
}

func TestConfigurationDemandsAnHttpsEndpoint(t *testing.T) {
	for endpoint, reason := range map[string]string{
		"http://c:6443": "should have scheme https://", "c:6443": "scheme",
	} {
		err := checkEndpoint(schema.Text(endpoint))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if err := checkEndpoint(schema.Text("https://api.c.internal:6443")); err != nil {
		t.Error(err)
	}
}

func TestUrlsNeedNoNetwork(t *testing.T) {
	s := &settings{factory: defaultFactory}
	out, err := s.urls(schema.Values{Map: resource.PropertyMap{
		"platform": schema.Text("hcloud"), "schematicId": schema.Text("abc"), "talosVersion": schema.Text("1.13.9"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	urls := out["urls"].ObjectValue()
	if urls["installer"].StringValue() != "factory.talos.dev/hcloud-installer/abc:v1.13.9" ||
		urls["diskImage"].StringValue() != "https://factory.talos.dev/image/abc/v1.13.9/hcloud-amd64.raw.xz" {
		t.Errorf("urls %v", urls)
	}
}
