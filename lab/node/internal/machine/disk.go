package machine

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/oxide-lab/node/internal/hardware"
)

// Disk is a server's disk: the installed system, the machine config on STATE and everything else on EPHEMERAL.
type Disk struct{ dir string }

// Installed is the system on the disk.
type Installed struct {
	OS           string `json:"os"`
	TalosVersion string `json:"talos_version"`
	// Schematic is the Image Factory id of the installer.
	Schematic string `json:"schematic"`
	// NodeID is the identity that Talos keeps on STATE.
	NodeID string `json:"node_id"`
	// Fallback is the system in the other slot of the boot loader; nil before the first upgrade.
	Fallback *Installed `json:"fallback,omitempty"`
	// Unproven is set from an upgrade until the new system has booted.
	Unproven bool `json:"unproven,omitempty"`
}

// vanillaSchematic is the Image Factory id of a system without extensions or extra kernel arguments.
const vanillaSchematic = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

func (d Disk) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// Ephemeral is a path on the EPHEMERAL partition.
func (d Disk) Ephemeral(parts ...string) string {
	return d.path(append([]string{"ephemeral"}, parts...)...)
}

// Installed returns the system on the disk; a new disk gets the image's.
func (d Disk) Installed(image hardware.Image) (Installed, error) {
	var installed Installed

	data, err := os.ReadFile(d.path("installed.json"))
	if errors.Is(err, os.ErrNotExist) {
		installed = Installed{OS: image.OS, TalosVersion: image.TalosVersion, Schematic: vanillaSchematic, NodeID: uuid.NewString()}

		return installed, d.Install(installed)
	}

	if err != nil {
		return installed, err
	}

	return installed, json.Unmarshal(data, &installed)
}

// Install writes the system.
func (d Disk) Install(installed Installed) error {
	data, err := json.Marshal(installed)
	if err != nil {
		return err
	}

	return writeFile(d.path("installed.json"), data)
}

// Config returns the machine config on STATE; nil if there is none.
func (d Disk) Config() ([]byte, error) {
	data, err := os.ReadFile(d.path("state", "config.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}

	return data, err
}

// SetConfig writes the machine config to STATE.
func (d Disk) SetConfig(data []byte) error { return writeFile(d.path("state", "config.yaml"), data) }

// Wipe empties partitions: STATE, EPHEMERAL, or all that are known without names.
func (d Disk) Wipe(labels ...string) error {
	if len(labels) == 0 {
		return os.RemoveAll(d.dir)
	}

	var failures []error

	for _, label := range labels {
		switch label {
		case "STATE":
			failures = append(failures, os.RemoveAll(d.path("state")))
		case "EPHEMERAL":
			failures = append(failures, os.RemoveAll(d.path("ephemeral")))
		}
	}

	return errors.Join(failures...)
}

// writeFile replaces a file as a whole: a killed daemon leaves the old or the new one.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}

	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}

	return os.Rename(temporary, path)
}
