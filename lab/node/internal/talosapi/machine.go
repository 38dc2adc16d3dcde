package talosapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/oxide-lab/node/internal/machine"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// machineServer is machined's MachineService.
type machineServer struct {
	machineapi.UnimplementedMachineServiceServer

	boot *machine.Boot
}

// controlPlane refuses calls that only control planes serve.
func controlPlane(boot *machine.Boot, name string) error {
	switch cfg := boot.Config(); {
	case cfg == nil:
		return status.Errorf(codes.Unimplemented, "machine type is not set, cannot use %s API", name)
	case !machineconfig.IsControlPlane(cfg):
		return status.Errorf(codes.Unimplemented, "%s is only available on control plane nodes", name)
	default:
		return nil
	}
}

func (s *machineServer) Version(context.Context, *emptypb.Empty) (*machineapi.VersionResponse, error) {
	arch := runtime.GOARCH
	if s.boot.Machine().Hardware().Architecture == "arm" {
		arch = "arm64"
	}

	reply := &machineapi.Version{
		Version: &machineapi.VersionInfo{
			Tag: s.boot.Installed.TalosVersion, Sha: "lab", Built: "", GoVersion: runtime.Version(), Os: "linux", Arch: arch,
		},
		Platform: &machineapi.PlatformInfo{Name: "hcloud", Mode: "cloud"},
	}

	if s.boot.Configured() {
		reply.Features = &machineapi.FeaturesInfo{Rbac: true}
	}

	return &machineapi.VersionResponse{Messages: []*machineapi.Version{reply}}, nil
}

func (s *machineServer) Hostname(context.Context, *emptypb.Empty) (*machineapi.HostnameResponse, error) {
	return &machineapi.HostnameResponse{Messages: []*machineapi.Hostname{{Hostname: s.boot.Hostname()}}}, nil
}

func (s *machineServer) ApplyConfiguration(ctx context.Context, in *machineapi.ApplyConfigurationRequest) (*machineapi.ApplyConfigurationResponse, error) {
	if !s.boot.Maintenance() && !rolesOf(ctx).Includes(role.Admin) {
		return nil, errNotAuthorized
	}

	reply, err := s.boot.Apply(ctx, in)
	if err != nil {
		return nil, err
	}

	return &machineapi.ApplyConfigurationResponse{Messages: []*machineapi.ApplyConfiguration{reply}}, nil
}

func (s *machineServer) Bootstrap(_ context.Context, in *machineapi.BootstrapRequest) (*machineapi.BootstrapResponse, error) {
	if !s.boot.Configured() {
		return nil, status.Error(codes.FailedPrecondition, "bootstrap is not available yet")
	}

	if err := controlPlane(s.boot, "bootstrap"); err != nil {
		return nil, err
	}

	if s.boot.Etcd().HasData() {
		return nil, status.Error(codes.AlreadyExists, "etcd data directory is not empty")
	}

	s.boot.Bootstrap(in.RecoverEtcd, in.RecoverSkipHashCheck)

	return &machineapi.BootstrapResponse{Messages: []*machineapi.Bootstrap{{}}}, nil
}

func (s *machineServer) Kubeconfig(_ *emptypb.Empty, stream machineapi.MachineService_KubeconfigServer) error {
	if err := controlPlane(s.boot, "kubeconfig"); err != nil {
		return err
	}

	data, err := adminKubeconfig(s.boot.Config().Cluster())
	if err != nil {
		return err
	}

	var archive bytes.Buffer

	zip := gzip.NewWriter(&archive)
	writer := tar.NewWriter(zip)

	header := &tar.Header{Typeflag: tar.TypeReg, Name: "kubeconfig", Size: int64(len(data)), ModTime: time.Now(), Mode: 0o600}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}

	if _, err := writer.Write(data); err != nil {
		return err
	}

	if err := writer.Close(); err != nil {
		return err
	}

	if err := zip.Close(); err != nil {
		return err
	}

	return stream.Send(&common.Data{Bytes: archive.Bytes()})
}

func (s *machineServer) Reboot(_ context.Context, in *machineapi.RebootRequest) (*machineapi.RebootResponse, error) {
	actor := uuid.NewString()
	s.boot.Reboot(actor, in.GetMode() == machineapi.RebootRequest_FORCE)

	return &machineapi.RebootResponse{Messages: []*machineapi.Reboot{{ActorId: actor}}}, nil
}

func (s *machineServer) Shutdown(_ context.Context, in *machineapi.ShutdownRequest) (*machineapi.ShutdownResponse, error) {
	actor := uuid.NewString()
	s.boot.Shutdown(actor, in.GetForce())

	return &machineapi.ShutdownResponse{Messages: []*machineapi.Shutdown{{ActorId: actor}}}, nil
}

func (s *machineServer) Reset(_ context.Context, in *machineapi.ResetRequest) (*machineapi.ResetResponse, error) {
	options := machine.ResetOptions{Graceful: in.GetGraceful(), Reboot: in.GetReboot()}

	for _, partition := range in.GetSystemPartitionsToWipe() {
		if partition.Label != "STATE" && partition.Label != "EPHEMERAL" && partition.Label != "META" {
			return nil, fmt.Errorf("failed to get volume status with label %q: resource VolumeStatuses.block.talos.dev(runtime/%s@undefined) doesn't exist",
				partition.Label, partition.Label)
		}

		if partition.Wipe {
			options.Labels = append(options.Labels, partition.Label)
		}
	}

	actor := uuid.NewString()
	s.boot.Reset(actor, options)

	return &machineapi.ResetResponse{Messages: []*machineapi.Reset{{ActorId: actor}}}, nil
}

func (s *machineServer) Upgrade(ctx context.Context, in *machineapi.UpgradeRequest) (*machineapi.UpgradeResponse, error) {
	if code, err := s.boot.Unlocked(); err != nil {
		return nil, status.Error(code, err.Error())
	}

	if err := s.boot.PullInstaller(in.GetImage()); err != nil {
		return nil, fmt.Errorf("error validating installer image %q: %w", in.GetImage(), err)
	}

	installed, err := s.boot.Installer(in.GetImage())
	if err != nil {
		return nil, err
	}

	if !in.GetForce() && !in.GetPreserve() {
		if err := s.boot.CheckEtcdForUpgrade(ctx); err != nil {
			return nil, err
		}
	}

	actor := uuid.NewString()
	s.boot.Upgrade(actor, installed, !in.GetStage())

	return &machineapi.UpgradeResponse{Messages: []*machineapi.Upgrade{{Ack: "Upgrade request received", ActorId: actor}}}, nil
}

func (s *machineServer) Events(in *machineapi.EventsRequest, stream machineapi.MachineService_EventsServer) error {
	hello, err := machine.NewEvent(nil, "", in.GetWithActorId())
	if err != nil {
		return err
	}

	if err := stream.Send(hello); err != nil {
		return err
	}

	return s.boot.Events.Watch(stream.Context(), in, stream.Send)
}

func (s *machineServer) ServiceList(context.Context, *emptypb.Empty) (*machineapi.ServiceListResponse, error) {
	list := &machineapi.ServiceList{}
	for _, service := range s.boot.Services.List() {
		list.Services = append(list.Services, service.Proto())
	}

	return &machineapi.ServiceListResponse{Messages: []*machineapi.ServiceList{list}}, nil
}

// checkService refuses services that Talos 1.13 does not let anybody restart: of its own all but the kubelet.
func (s *machineServer) checkService(id, verb string) error {
	if _, known := s.boot.Services.Get(id); !known {
		return fmt.Errorf("service %q not defined", id)
	}

	if id != "kubelet" || verb == "stop" {
		return fmt.Errorf("service %q doesn't support %s operation via API", id, verb)
	}

	return nil
}

func (s *machineServer) ServiceRestart(_ context.Context, in *machineapi.ServiceRestartRequest) (*machineapi.ServiceRestartResponse, error) {
	if err := s.checkService(in.Id, "restart"); err != nil {
		return nil, err
	}

	s.boot.RestartKubelet()

	return &machineapi.ServiceRestartResponse{Messages: []*machineapi.ServiceRestart{{Resp: fmt.Sprintf("Service %q restarted", in.Id)}}}, nil
}

func (s *machineServer) ServiceStart(_ context.Context, in *machineapi.ServiceStartRequest) (*machineapi.ServiceStartResponse, error) {
	if err := s.checkService(in.Id, "start"); err != nil {
		return nil, err
	}

	return &machineapi.ServiceStartResponse{Messages: []*machineapi.ServiceStart{{Resp: fmt.Sprintf("Service %q started", in.Id)}}}, nil
}

func (s *machineServer) ServiceStop(_ context.Context, in *machineapi.ServiceStopRequest) (*machineapi.ServiceStopResponse, error) {
	return nil, s.checkService(in.Id, "stop")
}
