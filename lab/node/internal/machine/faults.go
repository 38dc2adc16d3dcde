package machine

import (
	"sync"
	"time"
)

// Kinds of faults.
const (
	// FaultSlowBoot makes boots take Seconds longer.
	FaultSlowBoot = "slow_boot"
	// FaultNeverBoots makes boots never end.
	FaultNeverBoots = "never_boots"
	// FaultDead kills a running node at once; it stays silent until the next power cycle.
	FaultDead = "dead"
)

// Fault is something that goes wrong on demand.
type Fault struct {
	// Server is a server's name, or * for all.
	Server  string  `json:"server"`
	Kind    string  `json:"kind"`
	Seconds float64 `json:"seconds"`
	// Count is how often it happens; 0 means until it is removed.
	Count int `json:"count"`
}

// Faults are the faults in force.
type Faults struct {
	mu     sync.Mutex
	faults []*Fault
}

// Add puts a fault into force.
func (f *Faults) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.faults = append(f.faults, &fault)
}

// Clear removes all faults.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.faults = nil
}

// Boot uses up the faults of one boot.
func (f *Faults) Boot(server string) (delay time.Duration, never bool) {
	if fault := f.take(server, FaultSlowBoot); fault != nil {
		delay = time.Duration(fault.Seconds * float64(time.Second))
	}

	return delay, f.take(server, FaultNeverBoots) != nil
}

func (f *Faults) take(server, kind string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()

	for i, fault := range f.faults {
		if fault.Kind != kind || fault.Server != "*" && fault.Server != server {
			continue
		}

		if fault.Count > 0 {
			if fault.Count--; fault.Count == 0 {
				f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
			}
		}

		return fault
	}

	return nil
}

// Die ends everything on the machine while its switch stays on.
func (m *Machine) Die() {
	m.power.Lock()
	defer m.power.Unlock()

	boot := m.Boot()
	if boot == nil {
		return
	}

	boot.stop(true)
	m.Note("fault", "the machine is dead")
	m.setStage(StageSilent, "fault: the machine is dead")
}
