package talosapi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func (s *machineServer) Memory(context.Context, *emptypb.Empty) (*machineapi.MemoryResponse, error) {
	total := uint64(s.boot.Machine().Hardware().ServerType.MemoryGB * (1 << 20))
	info := &machineapi.MemInfo{Memtotal: total, Memfree: total / 2, Memavailable: total * 3 / 4}

	return &machineapi.MemoryResponse{Messages: []*machineapi.Memory{{Meminfo: info}}}, nil
}

func (s *machineServer) LoadAvg(context.Context, *emptypb.Empty) (*machineapi.LoadAvgResponse, error) {
	return &machineapi.LoadAvgResponse{Messages: []*machineapi.LoadAvg{{Load1: 0.1, Load5: 0.1, Load15: 0.1}}}, nil
}

func (s *machineServer) SystemStat(context.Context, *emptypb.Empty) (*machineapi.SystemStatResponse, error) {
	return &machineapi.SystemStatResponse{Messages: []*machineapi.SystemStat{{BootTime: uint64(s.boot.Started.Unix()), ProcessCreated: 1, ProcessRunning: 1}}}, nil
}

func (s *machineServer) CPUInfo(context.Context, *emptypb.Empty) (*machineapi.CPUInfoResponse, error) {
	info := &machineapi.CPUsInfo{}
	for i := range s.boot.Machine().Hardware().ServerType.Cores {
		info.CpuInfo = append(info.CpuInfo, &machineapi.CPUInfo{Processor: uint32(i), ModelName: "lab", CpuCores: 1})
	}

	return &machineapi.CPUInfoResponse{Messages: []*machineapi.CPUsInfo{info}}, nil
}

func (s *machineServer) Mounts(context.Context, *emptypb.Empty) (*machineapi.MountsResponse, error) {
	size := uint64(s.boot.Machine().Hardware().ServerType.DiskGB) << 30
	mounts := &machineapi.Mounts{Stats: []*machineapi.MountStat{
		{Filesystem: "/dev/sda4", Size: size, Available: size * 3 / 4, MountedOn: "/var"},
	}}

	return &machineapi.MountsResponse{Messages: []*machineapi.Mounts{mounts}}, nil
}

func (s *machineServer) DiskStats(context.Context, *emptypb.Empty) (*machineapi.DiskStatsResponse, error) {
	return &machineapi.DiskStatsResponse{Messages: []*machineapi.DiskStats{{
		Total: &machineapi.DiskStat{}, Devices: []*machineapi.DiskStat{{Name: "sda"}},
	}}}, nil
}

func (s *machineServer) NetworkDeviceStats(context.Context, *emptypb.Empty) (*machineapi.NetworkDeviceStatsResponse, error) {
	return &machineapi.NetworkDeviceStatsResponse{Messages: []*machineapi.NetworkDeviceStats{{
		Total: &machineapi.NetDev{}, Devices: []*machineapi.NetDev{{Name: "eth0"}, {Name: "eth1"}},
	}}}, nil
}

func (s *machineServer) Processes(context.Context, *emptypb.Empty) (*machineapi.ProcessesResponse, error) {
	return &machineapi.ProcessesResponse{Messages: []*machineapi.Process{{Processes: []*machineapi.ProcessInfo{
		{Pid: 1, State: "S", Command: "init", Executable: "/sbin/init"},
	}}}}, nil
}

// readable are the files that a node shows.
func (s *machineServer) readable(path string) (string, bool) {
	switch path {
	case "/proc/sys/kernel/random/boot_id":
		return s.boot.ID + "\n", true
	case "/etc/os-release":
		return fmt.Sprintf("NAME=\"Talos\"\nID=talos\nVERSION_ID=%s\nPRETTY_NAME=\"Talos (%s)\"\n", s.boot.Installed.TalosVersion, s.boot.Installed.TalosVersion), true
	case "/etc/hosts":
		return s.boot.HostsFile(), s.boot.Configured()
	case "/proc/uptime":
		return fmt.Sprintf("%.2f 0.00\n", time.Since(s.boot.Started).Seconds()), true
	default:
		return "", false
	}
}

func (s *machineServer) Read(in *machineapi.ReadRequest, stream machineapi.MachineService_ReadServer) error {
	content, known := s.readable(filepath.Clean(in.Path))
	if !known {
		return fmt.Errorf("stat %s: no such file or directory", in.Path)
	}

	return stream.Send(&common.Data{Bytes: []byte(content)})
}

func (s *machineServer) Dmesg(in *machineapi.DmesgRequest, stream machineapi.MachineService_DmesgServer) error {
	sent := 0

	for {
		lines := s.boot.KernelLog()
		for ; sent < len(lines); sent++ {
			if err := stream.Send(&common.Data{Bytes: []byte(lines[sent])}); err != nil {
				return err
			}
		}

		if !in.GetFollow() {
			return nil
		}

		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// logTail is how much of a log is sent at most.
const logTail = 1 << 20

func (s *machineServer) Logs(in *machineapi.LogsRequest, stream machineapi.MachineService_LogsServer) error {
	// A pod's container is named namespace/pod:container:id; the component's name leads to its log.
	name := in.Id
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if strings.Contains(in.Id, component) {
			name = component
		}
	}

	data, err := os.ReadFile(s.boot.LogFile(filepath.Base(name)))
	if err != nil {
		if _, known := s.boot.Services.Get(in.Id); known {
			return nil
		}

		return status.Errorf(codes.NotFound, "log %q was not registered", in.Id)
	}

	if len(data) > logTail {
		data = data[len(data)-logTail:]
	}

	lines := strings.SplitAfter(string(data), "\n")
	if tail := int(in.TailLines); tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}

	return stream.Send(&common.Data{Bytes: []byte(strings.Join(lines, ""))})
}

func (s *machineServer) ImagePull(_ context.Context, in *machineapi.ImagePullRequest) (*machineapi.ImagePullResponse, error) {
	if in.Reference == "" {
		return nil, status.Error(codes.InvalidArgument, "image reference is empty")
	}

	if err := pull(s.boot, in.Reference); err != nil {
		return nil, err
	}

	return &machineapi.ImagePullResponse{Messages: []*machineapi.ImagePull{{}}}, nil
}

func (s *machineServer) ImageList(_ *machineapi.ImageListRequest, _ machineapi.MachineService_ImageListServer) error {
	return nil
}

func (s *machineServer) Containers(context.Context, *machineapi.ContainersRequest) (*machineapi.ContainersResponse, error) {
	return &machineapi.ContainersResponse{Messages: []*machineapi.Container{{}}}, nil
}
