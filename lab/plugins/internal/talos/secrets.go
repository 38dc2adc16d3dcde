package talos

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	sidero "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.yaml.in/yaml/v4"
	"golang.org/x/mod/semver"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// now can be moved by tests.
var now = time.Now

// machineSecrets describes the secrets of a cluster; kind says whether they are given or made.
func machineSecrets(object, value func(schema.Kind) *schema.Property) schema.Properties {
	group := func(fields schema.Properties) *schema.Property { return object(schema.Object).With(fields) }
	pair := func() *schema.Property {
		return group(schema.Properties{"cert": value(schema.String), "key": value(schema.String).AsSecret()})
	}
	secret := func() *schema.Property { return value(schema.String).AsSecret() }
	aescbc := schema.OptOut(schema.String).AsSecret()
	return schema.Properties{
		"cluster": group(schema.Properties{"id": value(schema.String), "secret": secret()}),
		"secrets": group(schema.Properties{
			"bootstrapToken": secret(), "secretboxEncryptionSecret": secret(), "aescbcEncryptionSecret": aescbc,
		}),
		"trustdinfo": group(schema.Properties{"token": secret()}),
		"certs": group(schema.Properties{
			"etcd": pair(), "k8s": pair(), "k8sAggregator": pair(), "os": pair(),
			"k8sServiceaccount": group(schema.Properties{"key": secret()}),
		}),
	}
}

func secretsResource() *provider.Resource {
	return &provider.Resource{
		Framework: true,
		Properties: schema.Properties{
			"talosVersion":        schema.OptOut(schema.String).Checked(checkContract),
			"machineSecrets":      schema.Out(schema.Object).With(machineSecrets(schema.Out, schema.Out)).Renewed(),
			"clientConfiguration": schema.Out(schema.Object).With(clientConfiguration(schema.Out)).Renewed(),
		},
		Plan:   planSecrets,
		Create: createSecrets,
		Read:   readSecrets,
		Update: updateSecrets,
		Delete: keepNothing,
	}
}

// planSecrets replaces the secrets when the Talos version goes down, and renews the client
// certificate in the last month of its life.
func planSecrets(_ context.Context, plan *provider.Planned) error {
	version := plan.Plan["talosVersion"]
	if version.IsComputed() {
		if _, given := plan.Inputs["talosVersion"]; !given {
			plan.Plan["talosVersion"] = schema.Text(semver.MajorMinor(gendata.VersionTag))
		}
	}
	if plan.State == nil {
		return nil
	}
	old := schema.Values{Map: plan.State}.Str("talosVersion")
	if version.IsString() && semver.Compare(tagged(version.StringValue()), tagged(old)) < 0 {
		plan.Replace = append(plan.Replace, "talosVersion")
	}
	expires, err := clientExpiry(plan.State)
	if err != nil {
		return failed("failed to decode client certificate", err)
	}
	if expires.Before(now().AddDate(0, 1, 0)) {
		plan.Plan["clientConfiguration"] = schema.Unknown
	}
	return nil
}

func tagged(version string) string { return "v" + strings.TrimPrefix(version, "v") }

func clientExpiry(state resource.PropertyMap) (time.Time, error) {
	client, _ := schema.Values{Map: state}.Object("clientConfiguration")
	return expiry(client.Str("clientCertificate"))
}

func expiry(certificate string) (time.Time, error) {
	text, err := base64.StdEncoding.DecodeString(certificate)
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, errors.New("failed to parse PEM block")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return parsed.NotAfter, nil
}

func createSecrets(_ context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	contract, err := config.ParseContractFromVersion(op.Plan.Str("talosVersion"))
	if err != nil {
		return "", nil, failed("failed to validate talos version", err)
	}
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(now()), contract)
	if err != nil {
		return "", nil, failed("failed to generate secrets bundle", err)
	}
	outputs, err := bundleOutputs(bundle, op.Plan.Str("talosVersion"))
	return "machine_secrets", outputs, err
}

func bundleOutputs(bundle *secrets.Bundle, version string) (resource.PropertyMap, error) {
	client, err := newClient(bundle)
	if err != nil {
		return nil, failed("failed to convert secrets bundle to machine secrets", err)
	}
	kubernetes := resource.PropertyMap{
		"bootstrapToken":            schema.Text(bundle.Secrets.BootstrapToken),
		"secretboxEncryptionSecret": schema.Text(bundle.Secrets.SecretboxEncryptionSecret),
	}
	if bundle.Secrets.AESCBCEncryptionSecret != "" {
		kubernetes["aescbcEncryptionSecret"] = schema.Text(bundle.Secrets.AESCBCEncryptionSecret)
	}
	return resource.PropertyMap{
		"talosVersion":        schema.Text(version),
		"clientConfiguration": client,
		"machineSecrets": object(resource.PropertyMap{
			"cluster": object(resource.PropertyMap{
				"id": schema.Text(bundle.Cluster.ID), "secret": schema.Text(bundle.Cluster.Secret),
			}),
			"secrets":    object(kubernetes),
			"trustdinfo": object(resource.PropertyMap{"token": schema.Text(bundle.TrustdInfo.Token)}),
			"certs": object(resource.PropertyMap{
				"etcd": pairOutput(bundle.Certs.Etcd), "k8s": pairOutput(bundle.Certs.K8s),
				"k8sAggregator": pairOutput(bundle.Certs.K8sAggregator), "os": pairOutput(bundle.Certs.OS),
				"k8sServiceaccount": object(resource.PropertyMap{"key": encoded(bundle.Certs.K8sServiceAccount.Key)}),
			}),
		}),
	}, nil
}

func newClient(bundle *secrets.Bundle) (resource.PropertyValue, error) {
	if bundle.Clock == nil {
		bundle.Clock = secrets.NewFixedClock(now())
	}
	pair, err := bundle.GenerateTalosAPIClientCertificateWithTTL(role.MakeSet(role.Admin),
		constants.TalosAPIDefaultCertificateValidityDuration)
	if err != nil {
		return resource.PropertyValue{}, err
	}
	return object(resource.PropertyMap{
		"caCertificate":     encoded(bundle.Certs.OS.Crt),
		"clientCertificate": encoded(pair.Crt),
		"clientKey":         encoded(pair.Key),
	}), nil
}

func object(props resource.PropertyMap) resource.PropertyValue { return resource.NewProperty(props) }

func encoded(data []byte) resource.PropertyValue {
	return schema.Text(base64.StdEncoding.EncodeToString(data))
}

func pairOutput(pair *sidero.PEMEncodedCertificateAndKey) resource.PropertyValue {
	return object(resource.PropertyMap{"cert": encoded(pair.Crt), "key": encoded(pair.Key)})
}

// readSecrets takes the secrets file that the import id names; there is nothing else to read.
func readSecrets(_ context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	if len(state) > 0 {
		return id, state, nil
	}
	text, err := os.ReadFile(id) //nolint:gosec // the user names the file to import
	if err != nil {
		return id, nil, failed("failed to import state", err)
	}
	var bundle secrets.Bundle
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&bundle); err != nil {
		return id, nil, failed("failed to unmarshal machine secrets", err)
	}
	version := "v1.3"
	if bundle.Secrets != nil && bundle.Secrets.AESCBCEncryptionSecret != "" {
		version = "v1.2"
	}
	outputs, err := bundleOutputs(&bundle, version)
	return "machine_secrets", outputs, err
}

func updateSecrets(_ context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
	outputs := maps.Clone(op.State.Map)
	outputs["talosVersion"] = op.Plan.Map["talosVersion"]
	expires, err := clientExpiry(op.State.Map)
	if err != nil {
		return nil, failed("failed to decode client certificate", err)
	}
	if !expires.Before(now().AddDate(0, 1, 0)) {
		return outputs, nil
	}
	recorded, _ := op.State.Object("machineSecrets")
	bundle, err := readBundle(recorded)
	if err == nil {
		outputs["clientConfiguration"], err = newClient(bundle)
	}
	if err != nil {
		return nil, failed("failed to convert machine secrets to secrets bundle", err)
	}
	return outputs, nil
}

// readBundle turns the recorded or given secrets into the form that the Talos library uses.
func readBundle(values schema.Values) (*secrets.Bundle, error) {
	cluster, _ := values.Object("cluster")
	kubernetes, _ := values.Object("secrets")
	trustd, _ := values.Object("trustdinfo")
	certs, _ := values.Object("certs")
	bundle := &secrets.Bundle{
		Clock:   secrets.NewFixedClock(now()),
		Cluster: &secrets.Cluster{ID: cluster.Str("id"), Secret: cluster.Str("secret")},
		Secrets: &secrets.Secrets{
			BootstrapToken:            kubernetes.Str("bootstrapToken"),
			SecretboxEncryptionSecret: kubernetes.Str("secretboxEncryptionSecret"),
			AESCBCEncryptionSecret:    kubernetes.Str("aescbcEncryptionSecret"),
		},
		TrustdInfo: &secrets.TrustdInfo{Token: trustd.Str("token")},
		Certs:      &secrets.Certs{K8sServiceAccount: &sidero.PEMEncodedKey{}},
	}
	for key, into := range map[string]**sidero.PEMEncodedCertificateAndKey{
		"etcd": &bundle.Certs.Etcd, "k8s": &bundle.Certs.K8s,
		"k8sAggregator": &bundle.Certs.K8sAggregator, "os": &bundle.Certs.OS,
	} {
		pair, _ := certs.Object(key)
		crt, err := base64.StdEncoding.DecodeString(pair.Str("cert"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		private, err := base64.StdEncoding.DecodeString(pair.Str("key"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		*into = &sidero.PEMEncodedCertificateAndKey{Crt: crt, Key: private}
	}
	account, _ := certs.Object("k8sServiceaccount")
	private, err := base64.StdEncoding.DecodeString(account.Str("key"))
	bundle.Certs.K8sServiceAccount.Key = private
	return bundle, err
}
