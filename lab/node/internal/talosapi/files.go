package talosapi

import (
	"fmt"
	"os"
	"path/filepath"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// etcdDirectory is where a node keeps etcd's data; of all directories only this one can be listed.
const etcdDirectory = "/var/lib/etcd"

func (s *machineServer) List(in *machineapi.ListRequest, stream machineapi.MachineService_ListServer) error {
	root := filepath.Clean("/" + in.GetRoot())
	if root != etcdDirectory {
		return fmt.Errorf("lstat %s: no such file or directory", root)
	}

	entries, err := os.ReadDir(s.boot.Etcd().DataDir)
	if err != nil {
		return fmt.Errorf("lstat %s: no such file or directory", root)
	}

	if err := stream.Send(&machineapi.FileInfo{Name: root, RelativeName: ".", IsDir: true}); err != nil {
		return err
	}

	for _, entry := range entries {
		info := &machineapi.FileInfo{Name: filepath.Join(root, entry.Name()), RelativeName: entry.Name(), IsDir: entry.IsDir()}
		if err := stream.Send(info); err != nil {
			return err
		}
	}

	return nil
}
