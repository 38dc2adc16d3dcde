package talosapi

import (
	"context"
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/oxide-lab/node/internal/machine"
)

// lifecycleServer installs systems; `talosctl upgrade` of 1.13 uses it and then reboots the node itself.
type lifecycleServer struct {
	machineapi.UnimplementedLifecycleServiceServer

	boot *machine.Boot
}

func (s *lifecycleServer) Install(*machineapi.LifecycleServiceInstallRequest, grpc.ServerStreamingServer[machineapi.LifecycleServiceInstallResponse]) error {
	return status.Error(codes.AlreadyExists, "machine is already installed")
}

func (s *lifecycleServer) Upgrade(in *machineapi.LifecycleServiceUpgradeRequest, stream grpc.ServerStreamingServer[machineapi.LifecycleServiceUpgradeResponse]) error {
	if code, err := s.boot.Unlocked(); err != nil {
		return status.Error(code, err.Error())
	}

	image := in.GetSource().GetImageName()
	if image == "" {
		return status.Error(codes.InvalidArgument, "installer image name is required")
	}

	say := func(text string) error {
		return stream.Send(&machineapi.LifecycleServiceUpgradeResponse{Progress: &machineapi.LifecycleServiceInstallProgress{
			Response: &machineapi.LifecycleServiceInstallProgress_Message{Message: text},
		}})
	}

	if err := say("running Talos installer " + image); err != nil {
		return err
	}

	code := int32(0)

	installed, err := s.boot.Installer(image)
	if status.Code(err) == codes.Internal {
		// There is nothing to run.
		return err
	}

	if err == nil {
		s.boot.BeginUpgrade(installed)

		err = s.boot.Install(installed)
	}

	if err != nil {
		code = 1

		s.boot.Machine().Note(machine.EventUpgradeEnd, "refused: %s", err)

		if err := say(fmt.Sprintf("error: %s", err)); err != nil {
			return err
		}
	} else if err := say("installation of " + installed.TalosVersion + " complete"); err != nil {
		return err
	}

	return stream.Send(&machineapi.LifecycleServiceUpgradeResponse{Progress: &machineapi.LifecycleServiceInstallProgress{
		Response: &machineapi.LifecycleServiceInstallProgress_ExitCode{ExitCode: code},
	}})
}

// imageServer pretends to pull images; installers must be ones that the node can install.
type imageServer struct {
	machineapi.UnimplementedImageServiceServer

	boot *machine.Boot
}

func (s *imageServer) Pull(in *machineapi.ImageServicePullRequest, stream grpc.ServerStreamingServer[machineapi.ImageServicePullResponse]) error {
	if in.GetImageRef() == "" {
		return status.Error(codes.InvalidArgument, "image reference is required")
	}

	if err := pull(s.boot, in.GetImageRef()); err != nil {
		return err
	}

	return stream.Send(&machineapi.ImageServicePullResponse{Response: &machineapi.ImageServicePullResponse_Name{Name: in.GetImageRef()}})
}

// pull pretends to pull an image. Installers must be there to be run; control plane images the lab must have.
func pull(boot *machine.Boot, image string) error {
	if machine.IsInstaller(image) {
		return boot.PullInstaller(image)
	}

	if err := boot.ImageAvailable(image); err != nil {
		return status.Error(codes.NotFound, err.Error())
	}

	if err := boot.Pull(image); err != nil {
		return status.Error(codes.Unavailable, "error pulling image: "+err.Error())
	}

	return nil
}

func (s *imageServer) List(*machineapi.ImageServiceListRequest, grpc.ServerStreamingServer[machineapi.ImageServiceListResponse]) error {
	return nil
}

// clusterServer is the server side of `talosctl health`.
type clusterServer struct {
	cluster.UnimplementedClusterServiceServer

	boot *machine.Boot
}

type inspectServer struct {
	inspect.UnimplementedInspectServiceServer
}

func (*inspectServer) ControllerRuntimeDependencies(context.Context, *emptypb.Empty) (*inspect.ControllerRuntimeDependenciesResponse, error) {
	return &inspect.ControllerRuntimeDependenciesResponse{Messages: []*inspect.ControllerRuntimeDependency{{}}}, nil
}

type storageServer struct {
	storage.UnimplementedStorageServiceServer

	boot *machine.Boot
}

func (s *storageServer) Disks(context.Context, *emptypb.Empty) (*storage.DisksResponse, error) {
	hw := s.boot.Machine().Hardware()

	return &storage.DisksResponse{Messages: []*storage.Disks{{Disks: []*storage.Disk{{
		DeviceName: "/dev/sda", Name: "sda", Model: "QEMU HARDDISK", Size: uint64(hw.ServerType.DiskGB) << 30,
		Type: storage.Disk_HDD, SystemDisk: true, Subsystem: "/sys/class/block",
	}}}}}, nil
}

type timeServer struct {
	timeapi.UnimplementedTimeServiceServer
}

func (*timeServer) Time(context.Context, *emptypb.Empty) (*timeapi.TimeResponse, error) {
	return timeReply("time.cloudflare.com"), nil
}

func (*timeServer) TimeCheck(_ context.Context, in *timeapi.TimeRequest) (*timeapi.TimeResponse, error) {
	return timeReply(in.GetServer()), nil
}

func timeReply(server string) *timeapi.TimeResponse {
	now := timestamppb.Now()

	return &timeapi.TimeResponse{Messages: []*timeapi.Time{{Server: server, Localtime: now, Remotetime: now}}}
}
