package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"

	"github.com/oxide-lab/node/internal/hardware"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// ErrLocked is returned when another sequence runs.
var ErrLocked = errors.New("locked")

// sequenceTimeout bounds a sequence.
const sequenceTimeout = 30 * time.Minute

// eventPause lets watchers of events get the last ones before the node is gone.
const eventPause = 300 * time.Millisecond

// task is a step of a sequence. A lenient one may fail.
type task struct {
	phase, name string
	lenient     bool
	run         func(ctx context.Context) error
}

// ResetOptions are those of a reset request.
type ResetOptions struct {
	Graceful, Reboot bool
	// Labels are the partitions to wipe; none means the whole disk.
	Labels []string
}

// Reboot restarts the system.
func (b *Boot) Reboot(actor string, force bool) {
	tasks := b.stopTasks(true)
	if force {
		tasks = nil
	}

	b.sequenceAsync(actor, "reboot", runtime.MachineStageRebooting, append(tasks, task{"reboot", "reboot", false, b.restart}))
}

// Shutdown turns the server off; it drains the node first unless forced.
func (b *Boot) Shutdown(actor string, force bool) {
	var tasks []task
	if !force && b.Configured() {
		tasks = append(tasks, task{"drain", "cordonAndDrainNode", true, b.drain})
	}

	tasks = append(tasks, b.stopTasks(false)...)
	b.sequenceAsync(actor, "shutdown", runtime.MachineStageShuttingDown, append(tasks, task{"shutdown", "shutdown", false, b.powerOff}))
}

// Reset leaves the cluster if it is graceful, wipes the disk and reboots or turns the server off.
func (b *Boot) Reset(actor string, options ResetOptions) {
	var tasks []task

	if options.Graceful && b.Configured() {
		tasks = append(tasks,
			task{"drain", "cordonAndDrainNode", true, b.drain},
			task{"cleanup", "removeAllPods", true, nil})

		if machineconfig.IsControlPlane(b.Config()) {
			tasks = append(tasks, task{"leave", "leaveEtcd", false, b.LeaveEtcd})
		}
	}

	wipe := func(context.Context) error {
		b.machine.Note("reset", "wiping %v", options.Labels)

		if err := b.machine.disk().Wipe(options.Labels...); err != nil || len(options.Labels) > 0 {
			return err
		}

		return b.machine.disk().Install(Installed{OS: "nothing"})
	}

	tasks = append(tasks, b.stopTasks(false)...)
	tasks = append(tasks, task{"reset", "resetSystemDisk", false, wipe})

	if options.Reboot {
		tasks = append(tasks, task{"reboot", "reboot", false, b.restart})
	} else {
		tasks = append(tasks, task{"shutdown", "shutdown", false, b.powerOff})
	}

	b.sequenceAsync(actor, "reset", runtime.MachineStageResetting, tasks)
}

// stopTasks are the steps that every sequence takes before the machine goes down.
func (b *Boot) stopTasks(kexec bool) []task {
	tasks := []task{
		{"cleanup", "stopAllPods", true, nil},
		{"stopServices", "stopServicesForUpgrade", true, nil},
		{"unmountSystem", "unmountEphemeralPartition", true, nil},
	}

	if kexec {
		tasks = append(tasks, task{"kexec", "kexecPrepare", true, nil})
	}

	return append(tasks, task{"stopEverything", "stopAllServices", true, func(ctx context.Context) error {
		// Events of this task are what callers wait for before the node is gone.
		pause(ctx, eventPause)

		return nil
	}})
}

func (b *Boot) restart(context.Context) error {
	b.mu.Lock()
	cause := b.busy
	b.mu.Unlock()

	return b.machine.Restart(false, cause)
}

func (b *Boot) powerOff(context.Context) error {
	b.mu.Lock()
	name := b.busy
	b.mu.Unlock()

	err := b.machine.setPower(hardware.Off, false)
	b.machine.Note(name+"-end", "the server is off")

	return err
}

// claim lets one sequence run at a time.
func (b *Boot) claim(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.busy != "" {
		return fmt.Errorf("%w: a %s sequence is running", ErrLocked, b.busy)
	}

	b.busy = name

	return nil
}

// sequenceAsync runs tasks in the background and publishes what happens. A task that fails ends the sequence and the
// node goes on.
func (b *Boot) sequenceAsync(actor, name string, stage runtime.MachineStage, tasks []task) {
	if err := b.claim(name); err != nil {
		b.publishFailure(actor, name, err)

		return
	}

	if name != "upgrade" {
		b.machine.Note(name+"-begin", "boot %s", b.ID)
	}

	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), sequenceTimeout)
		defer cancel()

		previous := b.setMachineStage(stage)

		if err := b.runTasks(ctx, actor, name, tasks); err != nil {
			b.machine.Note(name+"-end", "failed: %s", err)
			b.Kernel("%s failed: %s", name, err)
			b.publishFailure(actor, name, err)
			b.setMachineStage(previous)
			b.Events.Publish(&machineapi.SequenceEvent{Sequence: name, Action: machineapi.SequenceEvent_STOP}, actor)
		}

		b.mu.Lock()
		b.busy = ""
		b.mu.Unlock()
	}()
}

func (b *Boot) publishFailure(actor, name string, err error) {
	code := common.Code_FATAL
	if errors.Is(err, ErrLocked) {
		code = common.Code_LOCKED
	}

	b.Events.Publish(&machineapi.SequenceEvent{
		Sequence: name, Action: machineapi.SequenceEvent_NOOP,
		Error: &common.Error{Code: code, Message: "sequence failed: " + err.Error()},
	}, actor)
}

func (b *Boot) runTasks(ctx context.Context, actor, name string, tasks []task) error {
	b.Events.Publish(&machineapi.SequenceEvent{Sequence: name, Action: machineapi.SequenceEvent_START}, actor)

	for number, step := range tasks {
		b.Events.Publish(&machineapi.PhaseEvent{Phase: step.phase, Action: machineapi.PhaseEvent_START}, actor)
		b.Events.Publish(&machineapi.TaskEvent{Task: step.name, Action: machineapi.TaskEvent_START}, actor)
		b.Kernel("phase %s (%d/%d): 1 tasks(s)", step.phase, number+1, len(tasks))

		var err error
		if step.run != nil {
			err = step.run(ctx)
		}

		b.Events.Publish(&machineapi.TaskEvent{Task: step.name, Action: machineapi.TaskEvent_STOP}, actor)
		b.Events.Publish(&machineapi.PhaseEvent{Phase: step.phase, Action: machineapi.PhaseEvent_STOP}, actor)

		if err != nil && !step.lenient {
			return fmt.Errorf("error running phase %d in %s sequence: task 1/1: failed, %w", number+1, name, err)
		}

		if err != nil {
			b.machine.Note("sequence", "%s: %s failed and is left out: %s", name, step.name, err)
		}
	}

	return nil
}

// MachineStage is the stage that `talosctl get machinestatus` shows.
func (b *Boot) MachineStage() runtime.MachineStage {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.stage
}

func (b *Boot) setMachineStage(stage runtime.MachineStage) (previous runtime.MachineStage) {
	b.mu.Lock()
	previous, b.stage = b.stage, stage
	b.mu.Unlock()

	b.changed.Notify()

	return previous
}

// finishBoot ends the boot sequence once all services are up.
func (b *Boot) finishBoot() {
	required := []string{"apid", "kubelet"}
	if machineconfig.IsControlPlane(b.Config()) {
		required = append(required, "etcd")
	}

	up := !slices.ContainsFunc(required, func(id string) bool {
		service, known := b.Services.Get(id)

		return !known || !service.Up()
	})

	b.mu.Lock()
	done := b.bootDone || !up

	if !done {
		b.bootDone = true

		if b.stage == runtime.MachineStageBooting {
			b.stage = runtime.MachineStageRunning
		}
	}
	b.mu.Unlock()

	if !done {
		b.sequence("boot", machineapi.SequenceEvent_STOP)
		b.machine.Note(EventBootEnd, "boot %s, Talos %s", b.ID, b.Installed.TalosVersion)

		b.prove()

		if b.cause != "" && b.cause != "upgrade" {
			b.machine.Note(b.cause+"-end", "boot %s", b.ID)
		}
	}
}

// Unlocked returns an error while a sequence runs, in the form of an API error.
func (b *Boot) Unlocked() (codes.Code, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.busy != "" {
		return codes.FailedPrecondition, fmt.Errorf("%w: a %s sequence is running", ErrLocked, b.busy)
	}

	return codes.OK, nil
}
