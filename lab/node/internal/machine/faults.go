package machine

import (
	"context"
	"sync"
	"time"
)

// Kinds of faults.
const (
	// FaultSlowBoot makes boots take Seconds longer.
	FaultSlowBoot = "slow_boot"
	// FaultNeverBoots makes boots never end; only a power cycle without the fault helps.
	FaultNeverBoots = "never_boots"
	// FaultRebootNeverReturns makes boots hang until the fault is cleared, or the next power cycle once it is used up.
	FaultRebootNeverReturns = "reboot_never_returns"
	// FaultDead kills a running node at once; it stays silent until the next power cycle.
	FaultDead = "dead"
	// FaultApplyFails makes the node answer machine configs with an error.
	FaultApplyFails = "apply_fails"
	// FaultImageNotFound makes installer images unknown to the registry.
	FaultImageNotFound = "image_not_found"
	// FaultFallsBack makes the boot after an upgrade end in the old system.
	FaultFallsBack = "upgrade_falls_back"
)

// FaultKinds are all kinds of faults.
var FaultKinds = []string{
	FaultSlowBoot, FaultNeverBoots, FaultRebootNeverReturns, FaultDead, FaultApplyFails, FaultImageNotFound, FaultFallsBack,
}

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
	mu      sync.Mutex
	faults  []*Fault
	cleared Signal
}

// Add puts a fault into force.
func (f *Faults) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.faults = append(f.faults, &fault)
}

// All returns the faults in force.
func (f *Faults) All() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()

	all := []Fault{}
	for _, fault := range f.faults {
		all = append(all, *fault)
	}

	return all
}

// Clear removes all faults and lets boots that hang go on.
func (f *Faults) Clear() {
	f.mu.Lock()
	f.faults = nil
	f.mu.Unlock()

	f.cleared.Notify()
}

// Boot uses up the faults of one boot.
func (f *Faults) Boot(server string) (delay time.Duration, never bool) {
	if fault := f.take(server, FaultSlowBoot); fault != nil {
		delay = time.Duration(fault.Seconds * float64(time.Second))
	}

	return delay, f.take(server, FaultNeverBoots) != nil
}

// Hangs returns a wait for the end of a hanging boot; nil if the boot does not hang.
func (f *Faults) Hangs(server string) func(ctx context.Context) bool {
	cleared := f.cleared.Wait()

	if f.take(server, FaultRebootNeverReturns) == nil {
		return nil
	}

	return func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return false
		case <-cleared:
			return true
		}
	}
}

// Take uses up a fault once; false if there is none of the kind.
func (f *Faults) Take(server, kind string) bool { return f.take(server, kind) != nil }

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
	m.Note(EventFault, "the machine is dead")
	m.setStage(StageSilent, "fault: the machine is dead")
}
