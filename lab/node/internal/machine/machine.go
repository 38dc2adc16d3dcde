// Package machine is an emulated server that runs Talos: its disk, its power switch, and everything that a boot
// starts, including the real etcd and Kubernetes control plane of a control plane node.
package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/hardware"
)

// Stages of a server as the control API shows them.
const (
	StageOff         = "off"
	StageBooting     = "booting"
	StageMaintenance = "maintenance"
	StageRunning     = "running"
	StageRejected    = "config rejected"
	StageSilent      = "silent"
)

// restartTime is how long a machine that restarts itself is down before it boots. talosctl looks for the node again
// a second after the reboot began: one that is back by then has sent its events to nobody, and talosctl waits forever.
const restartTime = 2500 * time.Millisecond

// Env is what all machines of a lab share.
type Env struct {
	StateDir      string
	BinDir        string
	KubernetesDir string
	// BootTime is how long a boot takes until the node answers.
	BootTime time.Duration
	Fabric   *fabric.Fabric
	Clusters *Clusters
	Faults   *Faults
	Journal  *Journal
	// NewAPI makes the Talos API of a boot.
	NewAPI func(*Boot) API
}

// API is the Talos API of one boot.
type API interface {
	// Serve answers on the node's public address and to other nodes from now on.
	Serve(maintenance bool) error
	// Conn reaches the node's own services past apid.
	Conn() *grpc.ClientConn
	// Stop closes all connections.
	Stop()
}

// Status is a server as the control API shows it.
type Status struct {
	ID           int    `json:"id"`
	Name         string `json:"name"`
	Power        string `json:"power"`
	Stage        string `json:"stage"`
	Hostname     string `json:"hostname"`
	TalosVersion string `json:"talos_version"`
	Message      string `json:"message"`
}

// Machine is one server.
type Machine struct {
	env *Env
	dir string

	// power serialises what turns the machine on and off.
	power sync.Mutex
	// images serialises what changes the image store.
	images sync.Mutex

	mu      sync.Mutex
	hw      hardware.Server
	boot    *Boot
	stage   string
	message string
	// cause is the sequence after which the next boot comes.
	cause string
}

// New makes a machine; it stays off until Start.
func New(env *Env, server hardware.Server) *Machine {
	return &Machine{
		env: env, hw: server, stage: StageOff,
		dir: filepath.Join(env.StateDir, "machines", strconv.Itoa(server.ID)),
	}
}

// Load reads the declaration of a machine that an earlier daemon kept.
func Load(env *Env, dir string) (*Machine, error) {
	data, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		return nil, err
	}

	var server hardware.Server
	if err := json.Unmarshal(data, &server); err != nil {
		return nil, err
	}

	return New(env, server), nil
}

// Start attaches the machine to the network and turns it on if its switch is on.
func (m *Machine) Start() error {
	m.env.Fabric.Attach(m.Hardware().ID, m)

	if err := m.save(); err != nil {
		return err
	}

	m.power.Lock()
	defer m.power.Unlock()

	if m.Hardware().Power == hardware.On {
		m.turnOn()
	}

	return nil
}

func (m *Machine) save() error {
	data, err := json.Marshal(m.Hardware())
	if err != nil {
		return err
	}

	return writeFile(filepath.Join(m.dir, "server.json"), data)
}

func (m *Machine) disk() Disk { return Disk{filepath.Join(m.dir, "disk")} }

// Hardware implements fabric.Host.
func (m *Machine) Hardware() hardware.Server {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.hw
}

// Listening implements fabric.Host.
func (m *Machine) Listening(port int) bool {
	boot := m.Boot()

	return boot != nil && boot.listening(port)
}

// Boot is the running boot; nil while the machine is off.
func (m *Machine) Boot() *Boot {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.boot
}

// Status returns the state for the control API.
func (m *Machine) Status() Status {
	m.mu.Lock()
	status := Status{ID: m.hw.ID, Name: m.hw.Name, Power: m.hw.Power, Stage: m.stage, Message: m.message, Hostname: m.hw.Name}
	boot, image := m.boot, m.hw.Image
	m.mu.Unlock()

	if installed, err := m.disk().Installed(image); err == nil {
		status.TalosVersion = installed.TalosVersion
	}

	if boot != nil && boot.Configured() {
		status.Hostname = boot.Hostname()
	}

	return status
}

// Log returns what happened to the server, oldest first.
func (m *Machine) Log() []Entry { return m.env.Journal.Of(m.Hardware().ID) }

// Note records an event of interest, on stderr too.
func (m *Machine) Note(event, format string, args ...any) {
	hw := m.Hardware()
	m.env.Journal.Add(hw.ID, hw.Name, event, fmt.Sprintf(format, args...))
}

// setStage changes what the control API shows.
func (m *Machine) setStage(stage, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.stage, m.message = stage, message
}

// Update takes a new declaration. A changed image rebuilds the machine, a changed power switch acts at once, and
// networks and firewalls change live.
func (m *Machine) Update(server hardware.Server) error {
	m.power.Lock()
	defer m.power.Unlock()

	m.mu.Lock()
	old := m.hw
	m.hw = server
	boot := m.boot
	m.mu.Unlock()

	if old.Image != server.Image {
		m.Note("rebuild", "new image %s %s", server.Image.OS, server.Image.TalosVersion)
		m.turnOff(true)

		if err := m.disk().Wipe(); err != nil {
			return err
		}
	}

	if err := m.save(); err != nil {
		return err
	}

	if server.Power == hardware.On {
		m.turnOn()
	} else {
		m.turnOff(true)
	}

	if boot != nil {
		boot.changed.Notify()
	}

	return nil
}

// PowerOn turns the machine on.
func (m *Machine) PowerOn() error { return m.setPower(hardware.On, false) }

// PowerOff pulls the plug.
func (m *Machine) PowerOff() error { return m.setPower(hardware.Off, true) }

// Restart turns the machine off and on: hard, or after its children ended by themselves. cause names the sequence that
// ends with the next boot; empty if there is none.
func (m *Machine) Restart(hard bool, cause string) error {
	m.power.Lock()
	defer m.power.Unlock()

	m.turnOff(hard)

	m.mu.Lock()
	m.cause = cause
	m.mu.Unlock()

	if !hard {
		time.Sleep(restartTime)
	}

	m.mu.Lock()
	m.hw.Power = hardware.On
	m.mu.Unlock()
	m.turnOn()

	return m.save()
}

func (m *Machine) setPower(power string, hard bool) error {
	m.power.Lock()
	defer m.power.Unlock()

	m.mu.Lock()
	m.hw.Power = power
	m.mu.Unlock()

	if power == hardware.On {
		m.turnOn()
	} else {
		m.turnOff(hard)
	}

	return m.save()
}

// turnOn and turnOff are called with the power lock held.
func (m *Machine) turnOn() {
	if m.Boot() != nil {
		return
	}

	boot := newBoot(m)

	m.mu.Lock()
	boot.cause, m.cause = m.cause, ""
	m.boot = boot
	m.stage, m.message = StageBooting, ""
	m.mu.Unlock()

	m.Note("power-on", "boot %s", boot.ID)
	boot.start()
}

func (m *Machine) turnOff(hard bool) {
	boot := m.Boot()
	if boot == nil {
		return
	}

	boot.stop(hard)

	m.mu.Lock()
	m.boot = nil
	m.stage, m.message = StageOff, ""
	m.mu.Unlock()

	m.Note("power-off", "boot %s", boot.ID)
}

// Halt ends the boot without touching the switch: the daemon itself ends.
func (m *Machine) Halt() {
	m.power.Lock()
	defer m.power.Unlock()

	m.turnOff(false)
}

// Delete removes the machine and its disk at once.
func (m *Machine) Delete() error {
	m.power.Lock()
	defer m.power.Unlock()

	m.env.Fabric.Detach(m.Hardware().ID)
	m.turnOff(true)

	return os.RemoveAll(m.dir)
}
