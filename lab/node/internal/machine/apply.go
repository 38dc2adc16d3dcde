package machine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// defaultTryTimeout is after how long a config that is only tried is taken back.
const defaultTryTimeout = time.Minute

// errApplyFault is what a node answers while a planned fault says so.
var errApplyFault = status.Error(codes.Internal, "error writing machine config: write /system/state/config.yaml: input/output error (planned fault)")

// applyState lets one config be applied at a time, and none after one that reboots the node.
type applyState struct {
	busy    sync.Mutex
	reboots atomic.Bool
}

// Apply takes a new machine config as Talos 1.13 does: at once where every change allows that, else after a reboot.
func (b *Boot) Apply(ctx context.Context, request *machineapi.ApplyConfigurationRequest) (*machineapi.ApplyConfiguration, error) {
	asked := strings.ToLower(strings.ReplaceAll(request.Mode.String(), "_", "-"))
	if request.DryRun {
		asked += " dry run"
	}

	reply, then, err := b.apply(ctx, request)
	if err != nil {
		// The rest of the text is a diff that may show secrets.
		reason, _, _ := strings.Cut(status.Convert(err).Message(), "\n")
		b.machine.Note(EventApply, "%s: refused: %s", asked, reason)

		return nil, err
	}

	outcome, _, _ := strings.Cut(strings.TrimPrefix(reply.ModeDetails, "Dry run summary:\n"), "\n")
	outcome, _, _ = strings.Cut(outcome, ":")
	b.machine.Note(EventApply, "%s: %s", asked, outcome)
	then()

	return reply, nil
}

// apply returns what is left to do once the caller has its answer.
func (b *Boot) apply(ctx context.Context, request *machineapi.ApplyConfigurationRequest) (reply *machineapi.ApplyConfiguration, then func(), err error) {
	if !b.applying.busy.TryLock() {
		return nil, nil, status.Error(codes.FailedPrecondition, "another apply configuration is already in progress")
	}
	defer b.applying.busy.Unlock()

	if b.applying.reboots.Load() {
		return nil, nil, status.Error(codes.FailedPrecondition,
			"configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")
	}

	if !request.DryRun && b.env.Faults.Take(b.machine.Hardware().Name, FaultApplyFails) {
		return nil, nil, errApplyFault
	}

	if request.Mode != machineapi.ApplyConfigurationRequest_TRY {
		b.keepConfig()
	}

	cfg, warnings, err := machineconfig.Check(ctx, request.Data, b.State)
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	}

	maintenance, mode := b.Maintenance(), request.Mode
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
			return nil, nil, status.Error(codes.InvalidArgument, err.Error())
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
		return nil, nil, fmt.Errorf("incorrect mode '%s' specified for the apply config call", mode)
	}

	if request.DryRun {
		diff, err := machineconfig.Diff(b.Config(), cfg)
		if err != nil {
			return nil, nil, fmt.Errorf("failed to generate diff: %w", err)
		}

		return &machineapi.ApplyConfiguration{
			Mode: mode, ModeDetails: fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\n%s", details, diff),
		}, func() {}, nil
	}

	note, then, err := b.take(request, mode, cfg)
	if err != nil {
		return nil, nil, err
	}

	return &machineapi.ApplyConfiguration{Mode: mode, Warnings: warnings, ModeDetails: details + note + reason}, then, nil
}

// take puts an accepted config into force in the given mode.
func (b *Boot) take(request *machineapi.ApplyConfigurationRequest, mode machineapi.ApplyConfigurationRequest_Mode, cfg config.Provider) (note string, then func(), err error) {
	if mode == machineapi.ApplyConfigurationRequest_TRY {
		timeout := defaultTryTimeout
		if request.TryModeTimeout != nil {
			timeout = request.TryModeTimeout.AsDuration()
		}

		b.try(timeout)

		return "\nThe config is applied in 'try' mode and will be automatically reverted back in " + timeout.String(),
			func() { b.setConfig(cfg, request.Data) }, nil
	}

	if err := b.machine.disk().SetConfig(request.Data); err != nil {
		return "", nil, err
	}

	b.setPersistent(cfg)

	switch {
	case b.Maintenance():
		return "", func() { go b.leaveMaintenance() }, nil
	case mode == machineapi.ApplyConfigurationRequest_REBOOT:
		b.applying.reboots.Store(true)

		return "", func() { b.Reboot("", false) }, nil
	case mode == machineapi.ApplyConfigurationRequest_NO_REBOOT:
		return "", func() { b.setConfig(cfg, request.Data) }, nil
	default:
		return "", func() {}, nil
	}
}

// leaveMaintenance goes on with the first config; the API closes and opens again with certificates, as at a boot.
func (b *Boot) leaveMaintenance() {
	pause(context.Background(), eventPause)

	if err := b.machine.Restart(false, ""); err != nil {
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

// setPersistent records the config on the disk, which the next boot starts with.
func (b *Boot) setPersistent(cfg config.Provider) {
	b.mu.Lock()
	b.persistent = cfg
	b.mu.Unlock()

	b.changed.Notify()
}
