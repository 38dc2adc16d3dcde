// Package compat compares Oxide's recorded version windows with the tables of the Talos library.
package compat

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/compatibility"
)

// recorded is also read by tests/unit/test_versions.py, which compares it with oxide_components/versions.py.
const recorded = "../../../../tests/golden/talos-compatibility.json"

// The oldest minor that Oxide lists, and one that Talos and Kubernetes will not reach soon.
const firstTalos, lastMinor = 11, 99

// window holds the first and last minors of Kubernetes that a Talos minor runs, and of the hosts that its installer upgrades or downgrades.
type window struct {
	Kubernetes [2]string `json:"kubernetes"`
	Hosts      [2]string `json:"hosts"`
}

func TestTheRecordedWindowsAreThoseOfTheLibrary(t *testing.T) {
	text, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}

	var got map[string]window
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}

	want := map[string]window{}

	for minor := firstTalos; minor <= lastMinor; minor++ {
		target := talos(t, minor)
		kubernetes := span(func(other int) bool {
			version, err := compatibility.ParseKubernetesVersion(fmt.Sprintf("1.%d.5", other))

			return err == nil && version.SupportedWith(target) == nil
		})

		// The library does not know the minor.
		if kubernetes[0] == "" {
			continue
		}

		hosts := span(func(other int) bool { return target.UpgradeableFrom(talos(t, other)) == nil })
		want[fmt.Sprintf("1.%d", minor)] = window{Kubernetes: kubernetes, Hosts: hosts}
	}

	if !reflect.DeepEqual(got, want) {
		text, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}

		t.Errorf("%s should be\n%s", recorded, text)
	}
}

func talos(t *testing.T, minor int) *compatibility.TalosVersion {
	t.Helper()

	version, err := compatibility.ParseTalosVersion(&machine.VersionInfo{Tag: fmt.Sprintf("v1.%d.5", minor)})
	if err != nil {
		t.Fatal(err)
	}

	return version
}

// span returns the first and last minor that fits.
func span(fits func(minor int) bool) [2]string {
	var found [2]string

	for minor := range lastMinor + 1 {
		if fits(minor) {
			if found[0] == "" {
				found[0] = fmt.Sprintf("1.%d", minor)
			}

			found[1] = fmt.Sprintf("1.%d", minor)
		}
	}

	return found
}
