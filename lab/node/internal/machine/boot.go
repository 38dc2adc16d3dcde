package machine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/google/uuid"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"github.com/oxide-lab/node/internal/kubelet"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// Boot is one run of the system, from power-on to power-off.
type Boot struct {
	machine *Machine
	env     *Env
	// ID is the boot id that changes at every boot.
	ID string
	// cause is the sequence that this boot ends; empty for a power switch.
	cause     string
	Started   time.Time
	Installed Installed
	State     state.State
	Events    *Events
	Services  *Services

	ctx     context.Context //nolint:containedctx // the life of the boot
	cancel  context.CancelFunc
	group   sync.WaitGroup
	changed Signal
	api     API

	mu         sync.Mutex
	config     config.Provider
	configData []byte
	// persistent is the config on the disk; it is ahead of config after a staged one, and behind while one is tried.
	persistent  config.Provider
	serving     bool
	maintenance bool
	stage       runtime.MachineStage
	bootDone    bool
	busy        string
	waiting     map[string]string
	// pulled are the installer images in the container store.
	pulled  map[string]bool
	joined  bool
	kubelet *kubelet.Kubelet
	// kubeletRestarts counts the restarts that the API was asked for.
	kubeletRestarts int
	rollback        *time.Timer
	kmsg            []string
	cordoned        bool
	written         [2]config.Provider

	applying applyState

	certs apiCerts
	etcd  etcdService
	plane planeService
}

func newBoot(m *Machine) *Boot {
	b := &Boot{
		machine: m, env: m.env, ID: uuid.NewString(), Started: time.Now(), Events: &Events{},
		stage: runtime.MachineStageBooting, waiting: map[string]string{}, pulled: map[string]bool{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.Services = &Services{events: b.Events, changed: b.changed.Notify, all: map[string]*Service{}}

	return b
}

// Machine is the server that booted.
func (b *Boot) Machine() *Machine { return b.machine }

// Context ends with the boot.
func (b *Boot) Context() context.Context { return b.ctx }

// Env is what the lab's machines share.
func (b *Boot) Env() *Env { return b.env }

// run starts a part of the boot that ends with it.
func (b *Boot) run(part func(ctx context.Context)) {
	b.group.Go(func() { part(b.ctx) })
}

func (b *Boot) start() { b.run(b.bootUp) }

// stop ends the boot: hard like a pulled plug, else after its children had time to end.
func (b *Boot) stop(hard bool) {
	b.etcd.setHard(hard)
	b.cancel()

	b.mu.Lock()
	b.serving = false

	if b.rollback != nil {
		b.rollback.Stop()
	}
	b.mu.Unlock()

	b.Events.Close()

	if b.api != nil {
		b.api.Stop()
	}

	b.group.Wait()
	os.RemoveAll(b.runDir()) //nolint:errcheck // memory of a machine that is off
	b.env.Clusters.Refresh()
}

func (b *Boot) runDir() string { return filepath.Join(b.machine.dir, "run") }

func (b *Boot) logDir() string { return filepath.Join(b.machine.dir, "log") }

// bootUp is the way from power-on to an answering node.
func (b *Boot) bootUp(ctx context.Context) {
	m := b.machine
	hw := m.Hardware()

	delay, never := b.env.Faults.Boot(hw.Name)
	if never {
		m.Note(EventFault, "this boot never ends")
		m.setStage(StageBooting, "fault: this boot never ends")

		return
	}

	if wait := b.env.Faults.Hangs(hw.Name); wait != nil {
		m.Note(EventFault, "this boot hangs until the fault is cleared or the power is cycled")
		m.setStage(StageBooting, "fault: this boot hangs until the fault is cleared or the power is cycled")

		if !wait(ctx) {
			return
		}

		m.setStage(StageBooting, "")
	}

	if !pause(ctx, b.env.BootTime+delay) {
		return
	}

	installed, err := m.disk().Installed(hw.Image)
	if err != nil {
		m.setStage(StageSilent, err.Error())

		return
	}

	if installed, err = b.fallBack(installed); err != nil {
		m.setStage(StageSilent, err.Error())

		return
	}

	b.Installed = installed

	if installed.OS != "talos" {
		m.Note("boot", "the image holds %q, not Talos: the server never answers", installed.OS)
		m.setStage(StageSilent, "the image holds "+installed.OS+", not Talos")

		return
	}

	b.State = newState(ctx)
	b.api = b.env.NewAPI(b)
	b.sequence("initialize", machineapi.SequenceEvent_START)
	b.sequence("initialize", machineapi.SequenceEvent_STOP)

	cfg, data, err := b.loadConfig(hw.UserData)
	if err != nil {
		m.Note("config rejected", "%s", err)
		m.setStage(StageRejected, err.Error())

		return
	}

	b.run(b.watchResources)

	if cfg == nil {
		m.Note("maintenance", "no machine config, waiting for one")
		m.setStage(StageMaintenance, "no machine config, waiting for one")

		b.mu.Lock()
		b.maintenance, b.stage = true, runtime.MachineStageMaintenance
		b.mu.Unlock()

		b.serve(true)

		return
	}

	b.configure(cfg, data)
}

// loadConfig returns the config of the disk, else the one of the user data, else nil.
func (b *Boot) loadConfig(userData string) (config.Provider, []byte, error) {
	disk := b.machine.disk()

	data, err := disk.Config()
	if err != nil {
		return nil, nil, err
	}

	fromDisk := data != nil

	if !fromDisk {
		if userData == "" {
			return nil, nil, nil
		}

		if data, err = machineconfig.DecodeUserData(userData); err != nil {
			return nil, nil, err
		}
	}

	cfg, warnings, err := machineconfig.Load(data)
	if err != nil {
		return nil, nil, err
	}

	for _, warning := range warnings {
		b.machine.Note("config warning", "%s", warning)
	}

	if !fromDisk {
		if err := disk.SetConfig(data); err != nil {
			return nil, nil, err
		}

		b.machine.Note("config accepted", "%s %s from user data", cfg.Machine().Type(), cfg.Cluster().Name())
	}

	return cfg, data, nil
}

// configure starts everything that a configured node runs.
func (b *Boot) configure(cfg config.Provider, data []byte) {
	b.mu.Lock()
	b.maintenance, b.stage = false, runtime.MachineStageBooting
	b.mu.Unlock()

	b.setPersistent(cfg)
	b.setConfig(cfg, data)
	b.machine.setStage(StageRunning, "")
	b.sequence("boot", machineapi.SequenceEvent_START)

	for _, id := range []string{"auditd", "machined", "syslogd", "udevd"} {
		b.Services.Set(id, ServiceRunning, "Service started as goroutine")
		b.Services.SetHealth(id, true, "Health check successful")
	}

	for _, id := range []string{"containerd", "cri"} {
		b.Services.Set(id, ServiceRunning, "Process started")
		b.Services.SetHealth(id, true, "Health check successful")
	}

	b.Services.Set("dashboard", ServiceRunning, "Process started")
	b.run(b.runAPI)
	b.run(b.runKubelet)

	if machineconfig.IsControlPlane(cfg) {
		b.Services.Set("trustd", ServiceRunning, started("trustd", 2000))
		b.Services.SetHealth("trustd", true, "Health check successful")
		b.run(b.runEtcd)
		b.run(b.runPlane)
	}
}

// Configured tells whether the node has a machine config.
func (b *Boot) Configured() bool { return b.Config() != nil }

// Maintenance tells whether the node waits for its first config.
func (b *Boot) Maintenance() bool {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.maintenance
}

// Config is the active machine config; nil in maintenance mode.
func (b *Boot) Config() config.Provider {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.config
}

func (b *Boot) setConfig(cfg config.Provider, data []byte) {
	b.mu.Lock()
	b.config, b.configData = cfg, data
	b.mu.Unlock()

	b.changed.Notify()
	b.env.Clusters.Refresh()
}

// wait blocks until something about the boot changes or the time is over; false when the boot ends.
func (b *Boot) wait(ctx context.Context, atMost time.Duration) bool {
	return b.waitOn(ctx, b.changed.Wait(), atMost)
}

func (b *Boot) waitOn(ctx context.Context, change <-chan struct{}, atMost time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-change:
		// Changes come in bursts.
		return pause(ctx, 20*time.Millisecond)
	case <-time.After(atMost):
		return true
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (b *Boot) sequence(name string, action machineapi.SequenceEvent_Action) {
	b.Events.Publish(&machineapi.SequenceEvent{Sequence: name, Action: action}, "")
}

// API is the node's Talos API.
func (b *Boot) API() API { return b.api }

// LogFile is the log of a child process.
func (b *Boot) LogFile(name string) string { return filepath.Join(b.logDir(), name+".log") }

// RestartKubelet starts the kubelet anew.
func (b *Boot) RestartKubelet() {
	b.mu.Lock()
	b.kubeletRestarts++
	b.mu.Unlock()

	b.changed.Notify()
}

// Answers tells whether the system listens to its power buttons.
func (b *Boot) Answers() bool { return b.State != nil && b.ctx.Err() == nil }
