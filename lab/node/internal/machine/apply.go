package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// defaultTryTimeout is after how long a config that is only tried is taken back.
const defaultTryTimeout = time.Minute

// Apply takes a new machine config as Talos 1.13 does: at once where every change allows that, else after a reboot.
func (b *Boot) Apply(request *machineapi.ApplyConfigurationRequest) (*machineapi.ApplyConfiguration, error) {
	if code, err := b.Unlocked(); err != nil {
		return nil, status.Error(code, err.Error())
	}

	cfg, warnings, err := machineconfig.Load(request.Data)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	maintenance := b.Maintenance()
	if cfg.RawV1Alpha1() == nil {
		return nil, status.Error(codes.InvalidArgument,
			"the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?")
	}

	mode := request.Mode
	if maintenance && mode == machineapi.ApplyConfigurationRequest_REBOOT {
		mode = machineapi.ApplyConfigurationRequest_NO_REBOOT
	}

	details, reason := "Applied configuration with a reboot", ""
	immediate := func() error {
		if maintenance {
			return nil
		}

		return machineconfig.CanApplyImmediate(b.Config(), cfg)
	}

	switch mode {
	case machineapi.ApplyConfigurationRequest_TRY, machineapi.ApplyConfigurationRequest_NO_REBOOT:
		if err := immediate(); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}

		details = "Applied configuration without a reboot"
	case machineapi.ApplyConfigurationRequest_STAGED:
		details = "Staged configuration to be applied after the next reboot"
	case machineapi.ApplyConfigurationRequest_AUTO:
		mode = machineapi.ApplyConfigurationRequest_NO_REBOOT
		details = "Applied configuration without a reboot"

		if err := immediate(); err != nil {
			mode = machineapi.ApplyConfigurationRequest_REBOOT
			details, reason = "Applied configuration with a reboot", ": "+err.Error()
		}
	case machineapi.ApplyConfigurationRequest_REBOOT:
	default:
		return nil, fmt.Errorf("incorrect mode '%s' specified for the apply config call", mode)
	}

	if request.DryRun {
		diff := "Config diff:\n\nNo current config."
		if current := b.Config(); current != nil {
			if diff, err = machineconfig.Diff(current, cfg); err != nil {
				return nil, fmt.Errorf("failed to generate diff: %w", err)
			}
		}

		return &machineapi.ApplyConfiguration{
			Mode: mode, ModeDetails: fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\n%s", details, diff),
		}, nil
	}

	if mode == machineapi.ApplyConfigurationRequest_TRY {
		timeout := defaultTryTimeout
		if request.TryModeTimeout != nil {
			timeout = request.TryModeTimeout.AsDuration()
		}

		details += "\nThe config is applied in 'try' mode and will be automatically reverted back in " + timeout.String()
		b.try(timeout)
	} else {
		b.keepConfig()

		if err := b.machine.disk().SetConfig(request.Data); err != nil {
			return nil, err
		}
	}

	b.machine.Note("config accepted", "mode %s", strings.ToLower(mode.String()))

	switch {
	case mode == machineapi.ApplyConfigurationRequest_REBOOT:
		b.Reboot("", false)
	case mode == machineapi.ApplyConfigurationRequest_STAGED && !maintenance:
	case maintenance:
		go b.leaveMaintenance()
	default:
		b.setConfig(cfg, request.Data)
	}

	return &machineapi.ApplyConfiguration{Mode: mode, Warnings: warnings, ModeDetails: details + reason}, nil
}

// leaveMaintenance goes on with the first config; the API closes and opens again with certificates, as at a boot.
func (b *Boot) leaveMaintenance() {
	pause(context.Background(), eventPause)

	if err := b.machine.Restart(false); err != nil {
		b.machine.Note("boot", "%s", err)
	}
}

// try takes the current config back after a time unless another one is applied.
func (b *Boot) try(timeout time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()

	current, data := b.config, b.configData

	if b.rollback != nil {
		b.rollback.Stop()
	}

	b.rollback = time.AfterFunc(timeout, func() {
		b.machine.Note("config", "tried config taken back")
		b.setConfig(current, data)
	})
}

func (b *Boot) keepConfig() {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.rollback != nil {
		b.rollback.Stop()
		b.rollback = nil
	}
}

// ConfigData is the active config as it was applied.
func (b *Boot) ConfigData() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.configData
}
