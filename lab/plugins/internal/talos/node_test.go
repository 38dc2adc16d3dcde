package talos

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	storageapi "github.com/siderolabs/talos/pkg/machinery/api/storage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

const (
	applyURN     = "urn:pulumi:s::p::talos:machine/configurationApply:ConfigurationApply::apply"
	bootstrapURN = "urn:pulumi:s::p::talos:machine/bootstrap:Bootstrap::bootstrap"
)

// fakeNode is a node in maintenance mode that keeps what it is asked.
type fakeNode struct {
	machineapi.UnimplementedMachineServiceServer
	storageapi.UnimplementedStorageServiceServer

	mu      sync.Mutex
	applied []*machineapi.ApplyConfigurationRequest
	boots   int
	refuse  error
}

func (m *fakeNode) Disks(context.Context, *emptypb.Empty) (*storageapi.DisksResponse, error) {
	return &storageapi.DisksResponse{Messages: []*storageapi.Disks{{}}}, nil
}

func (m *fakeNode) ApplyConfiguration(
	_ context.Context, req *machineapi.ApplyConfigurationRequest,
) (*machineapi.ApplyConfigurationResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied = append(m.applied, req)
	return &machineapi.ApplyConfigurationResponse{Messages: []*machineapi.ApplyConfiguration{
		{Mode: machineapi.ApplyConfigurationRequest_REBOOT},
	}}, m.refuse
}

func (m *fakeNode) Bootstrap(context.Context, *machineapi.BootstrapRequest) (*machineapi.BootstrapResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	return &machineapi.BootstrapResponse{Messages: []*machineapi.Bootstrap{{}}}, m.refuse
}

func (m *fakeNode) serve(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
	})))
	machineapi.RegisterMachineServiceServer(server, m)
	storageapi.RegisterStorageServiceServer(server, m)
	go server.Serve(listener) //nolint:errcheck
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func applyInputs(t *testing.T, s *provider.Server, address, mode string) resource.PropertyMap {
	t.Helper()
	secrets := newSecrets(t)
	text, err := configuration(t, s, secrets["machineSecrets"], nil)
	if err != nil {
		t.Fatal(err)
	}
	return resource.PropertyMap{
		"node": schema.Text(address), "clientConfiguration": secrets["clientConfiguration"], "applyMode": schema.Text(mode),
		"machineConfigurationInput": resource.MakeSecret(schema.Text(text)),
		"configPatches":             schema.Strings([]string{"machine:\n  sysctls:\n    vm.swappiness: \"1\"\n"}),
		"timeouts":                  object(resource.PropertyMap{"create": schema.Text("2s")}),
	}
}

func TestApplySendsThePatchedConfigurationInTheChosenMode(t *testing.T) {
	node := &fakeNode{}
	address := node.serve(t)
	s := provider.New(Spec())
	resp, err := s.Create(t.Context(), &pulumirpc.CreateRequest{
		Urn: applyURN, Properties: pack(t, applyInputs(t, s, address, "no_reboot")),
	})
	if err != nil || resp.GetId() != "machine_configuration_apply" {
		t.Fatal(resp, err)
	}
	out := unpack(t, resp.GetProperties())
	sent := string(node.applied[0].GetData())
	if node.applied[0].GetMode() != machineapi.ApplyConfigurationRequest_NO_REBOOT || !strings.Contains(sent, "vm.swappiness") {
		t.Errorf("sent %v", node.applied[0])
	}
	if !out["machineConfiguration"].IsSecret() || schema.Plain(out["machineConfiguration"]).StringValue() != sent {
		t.Error("the state does not hold the sent configuration as a secret")
	}
	if out["endpoint"].StringValue() != address || out["resolvedApplyMode"].StringValue() != "no_reboot" ||
		len(out["machineConfigurationHash"].StringValue()) != 64 {
		t.Errorf("outputs %v", out)
	}
}

func TestApplyInPreviewAsksTheNodeOnlyWhenTheModeDependsOnIt(t *testing.T) {
	node := &fakeNode{}
	address := node.serve(t)
	s := provider.New(Spec())
	preview := func(mode string) resource.PropertyMap {
		resp, err := s.Create(t.Context(), &pulumirpc.CreateRequest{
			Urn: applyURN, Preview: true, Properties: pack(t, applyInputs(t, s, address, mode)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return unpack(t, resp.GetProperties())
	}
	if preview("auto"); len(node.applied) != 0 {
		t.Error("a preview reached the node")
	}
	if out := preview(rebootAware); out["resolvedApplyMode"].StringValue() != "staged" || !node.applied[0].GetDryRun() {
		t.Errorf("mode %v, sent %v", out["resolvedApplyMode"], node.applied)
	}
}

func TestApplyStaysUnknownWhileItsConfigurationIs(t *testing.T) {
	s := provider.New(Spec())
	inputs := applyInputs(t, s, "192.0.2.1", "auto")
	inputs["machineConfigurationInput"] = schema.Unknown
	resp, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: applyURN, Preview: true, Properties: pack(t, inputs)})
	if err != nil {
		t.Fatal(err)
	}
	out := schema.PlainMap(unpack(t, resp.GetProperties()))
	if !out["machineConfiguration"].IsComputed() || !out["machineConfigurationHash"].IsComputed() {
		t.Errorf("outputs %v", out)
	}
}

func TestInvalidConfigurationIsNotRetried(t *testing.T) {
	node := &fakeNode{refuse: status.Error(codes.InvalidArgument, "needs a reboot")}
	s := provider.New(Spec())
	_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{
		Urn: applyURN, Properties: pack(t, applyInputs(t, s, node.serve(t), "no_reboot")),
	})
	if err == nil || !strings.Contains(err.Error(), "Error applying configuration: ") || len(node.applied) != 1 {
		t.Errorf("%d tries, %v", len(node.applied), err)
	}
}

func TestBootstrapRepeatsAlreadyBootstrappedUntilItsTimeout(t *testing.T) {
	node := &fakeNode{refuse: status.Error(codes.AlreadyExists, "etcd data directory is not empty")}
	s := provider.New(Spec())
	_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: bootstrapURN, Properties: pack(t, resource.PropertyMap{
		"node": schema.Text(node.serve(t)), "clientConfiguration": newSecrets(t)["clientConfiguration"],
		"timeouts": object(resource.PropertyMap{"create": schema.Text("2s")}),
	})})
	if err == nil || !strings.Contains(err.Error(), "etcd data directory is not empty") || node.boots < 2 {
		t.Errorf("%d tries, %v", node.boots, err)
	}
}

func TestBootstrapCannotBeImported(t *testing.T) {
	_, err := provider.New(Spec()).Read(t.Context(), &pulumirpc.ReadRequest{Urn: bootstrapURN, Id: "machine_bootstrap"})
	if err == nil || !strings.Contains(err.Error(), "byte-for-byte") {
		t.Errorf("%v", err)
	}
}

func TestApplyDemandsAllMembersOfOnDestroy(t *testing.T) {
	s := provider.New(Spec())
	inputs := applyInputs(t, s, "192.0.2.1", "auto")
	inputs["onDestroy"] = object(resource.PropertyMap{"reset": schema.Flag(true)})
	resp, err := s.Check(t.Context(), &pulumirpc.CheckRequest{Urn: applyURN, News: pack(t, inputs)})
	if err != nil || len(resp.GetFailures()) != 1 || !strings.Contains(resp.GetFailures()[0].GetReason(), "Value Conversion Error") {
		t.Errorf("%v, %v", resp.GetFailures(), err)
	}
}

func TestApplyDemandsOneConfigurationAndOneClient(t *testing.T) {
	resp, err := provider.New(Spec()).Check(t.Context(), &pulumirpc.CheckRequest{
		Urn: applyURN, News: pack(t, resource.PropertyMap{"node": schema.Text("n")}),
	})
	if err != nil || len(resp.GetFailures()) != 2 {
		t.Errorf("%v, %v", resp.GetFailures(), err)
	}
}
