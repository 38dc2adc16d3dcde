package talosapi

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
)

const (
	// varLib is what the EPHEMERAL partition holds of the node's programs.
	varLib = "/var/lib"
	// etcdDirectory is where a node keeps etcd's data.
	etcdDirectory = varLib + "/etcd"
)

// programs have their data in varLib, whether they run or not.
var programs = []string{"cni", "containerd", "kubelet"}

// List shows the directories that tell about etcd's data.
func (s *machineServer) List(in *machineapi.ListRequest, stream machineapi.MachineService_ListServer) error {
	root := filepath.Clean("/" + in.GetRoot())
	missing := fmt.Errorf("lstat %s: no such file or directory", root)
	entries, err := os.ReadDir(s.boot.Etcd().DataDir)
	hasData := err == nil

	var names []string

	switch root {
	case varLib:
		names = slices.Clone(programs)
		if hasData {
			names = append(names, "etcd")
		}
	case etcdDirectory:
		if !hasData {
			return missing
		}

		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	default:
		return missing
	}

	for _, name := range append([]string{"."}, names...) {
		info := &machineapi.FileInfo{Name: filepath.Join(root, name), RelativeName: name, IsDir: true}
		if err := stream.Send(info); err != nil {
			return err
		}
	}

	return nil
}
