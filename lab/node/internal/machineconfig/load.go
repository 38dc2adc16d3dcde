// Package machineconfig reads Talos machine configurations with Talos' own library and answers the questions that the
// emulated node asks of them.
package machineconfig

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configdiff"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
)

// CloudMode is the mode in which Talos validates a config on a cloud platform: nothing has to be installed.
type CloudMode struct{}

var _ validation.RuntimeMode = CloudMode{}

func (CloudMode) String() string { return "cloud" }

// RequiresInstall is false: the image of the server is the installed system.
func (CloudMode) RequiresInstall() bool { return false }

// InContainer is false.
func (CloudMode) InContainer() bool { return false }

// maxConfigSize bounds what a compressed user data may unpack to.
const maxConfigSize = 16 << 20

// DecodeUserData returns the config in a server's user data, which may be plain YAML, base64, or base64 of gzip.
func DecodeUserData(userData string) ([]byte, error) {
	data := []byte(userData)

	// User data that is valid base64 cannot be a machine config, so this order is safe.
	if decoded, err := base64.StdEncoding.AppendDecode(nil, []byte(strings.TrimSpace(userData))); err == nil {
		data = decoded
	}

	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}

	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("user data is not valid gzip: %w", err)
	}

	data, err = io.ReadAll(io.LimitReader(reader, maxConfigSize))
	if err != nil {
		return nil, fmt.Errorf("user data is not valid gzip: %w", err)
	}

	return data, nil
}

// Load parses and validates a config as a node does at boot. The warnings are Talos' own.
func Load(data []byte) (cfg config.Provider, warnings []string, err error) {
	cfg, err = configloader.NewFromBytes(data)
	if err != nil {
		return nil, nil, err
	}

	warnings, err = cfg.Validate(CloudMode{})
	if err != nil {
		return nil, warnings, err
	}

	return cfg, warnings, nil
}

// Check parses and validates a config as a running node does before it applies it.
func Check(ctx context.Context, data []byte, node state.State) (cfg config.Provider, warnings []string, err error) {
	cfg, err = configloader.NewFromBytes(data)
	if err != nil {
		return nil, nil, err
	}

	if cfg.RawV1Alpha1() == nil {
		return nil, nil, errors.New("the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?")
	}

	warnings, err = cfg.Validate(CloudMode{})
	if err != nil {
		return nil, nil, err
	}

	more, err := cfg.RuntimeValidate(ctx, node, CloudMode{})

	return cfg, append(warnings, more...), err
}

// Diff is the text that a dry run shows.
func Diff(current, next config.Provider) (string, error) {
	if current == nil {
		return "Config diff:\n\nNo current config.", nil
	}

	text, err := configdiff.DiffConfigs(current, next)
	if err != nil {
		return "", err
	}

	if text == "" {
		text = "No changes."
	}

	return "Config diff:\n\n" + text, nil
}

// CanApplyImmediate returns an error with the offending diff if the change needs a reboot. The list of what may
// change at once is that of Talos 1.13.
func CanApplyImmediate(current, next config.Provider) error {
	if current == nil {
		return errors.New("no current config")
	}

	from, to := current.RawV1Alpha1(), next.RawV1Alpha1()
	if from == nil {
		return errors.New("current config is not v1alpha1")
	}

	if to == nil {
		return errors.New("new config is not v1alpha1")
	}

	to = to.DeepCopy()
	to.ConfigDebug = from.ConfigDebug
	to.ClusterConfig = from.ClusterConfig

	if to.MachineConfig != nil && from.MachineConfig != nil {
		immediate := []string{
			"MachineCA", "MachineAcceptedCAs", "MachineTime", "MachineCertSANs", "MachineInstall", "MachineNetwork",
			"MachineSysfs", "MachineSysctls", "MachineLogging", "MachineControlPlane", "MachineKubelet", "MachineKernel",
			"MachineRegistries", "MachinePods", "MachineSeccompProfiles", "MachineNodeAnnotations", "MachineNodeLabels",
			"MachineNodeTaints",
		}
		copyFields(to.MachineConfig, from.MachineConfig, immediate)

		if to.MachineConfig.MachineFeatures != nil && from.MachineConfig.MachineFeatures != nil {
			copyFields(to.MachineConfig.MachineFeatures, from.MachineConfig.MachineFeatures, []string{
				"KubernetesTalosAPIAccessConfig", "KubePrismSupport", "HostDNSSupport", "ImageCacheSupport",
				"FeatureNodeAddressSortAlgorithm",
			})
		}
	}

	if reflect.DeepEqual(from, to) {
		return nil
	}

	diff, err := configdiff.DiffConfigs(container.NewV1Alpha1(from), container.NewV1Alpha1(to))
	if err != nil {
		return fmt.Errorf("error calculating diff: %w", err)
	}

	return fmt.Errorf("this config change can't be applied in immediate mode\ndiff:\n%s", diff)
}

func copyFields(to, from any, names []string) {
	target, source := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for _, name := range names {
		target.FieldByName(name).Set(source.FieldByName(name))
	}
}
