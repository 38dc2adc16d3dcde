// Package control is the lab's own interface to the machines: the Hetzner emulator declares servers through it, and
// tests look behind the scenes and cause faults.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/oxide-lab/node/internal/balancer"
	"github.com/oxide-lab/node/internal/hardware"
	"github.com/oxide-lab/node/internal/machine"
)

// Fleet is all machines of a lab.
type Fleet struct {
	env       *machine.Env
	balancers *balancer.Set

	mu       sync.Mutex
	machines map[int]*machine.Machine
	// declaring serialises declarations of the same server.
	declaring sync.Mutex
	saving    sync.Mutex
}

// NewFleet brings back the machines that an earlier daemon kept; those whose switch is on boot. checkSeconds is how long
// a second between the health checks of load balancers takes.
func NewFleet(env *machine.Env, checkSeconds float64) (*Fleet, error) {
	fleet := &Fleet{env: env, machines: map[int]*machine.Machine{}}

	if err := os.MkdirAll(env.StateDir, 0o700); err != nil {
		return nil, err
	}

	var err error

	fleet.balancers, err = balancer.NewSet(env.Fabric, filepath.Join(env.StateDir, "load-balancers.json"), checkSeconds)
	if err != nil {
		return nil, err
	}

	directories, err := filepath.Glob(filepath.Join(env.StateDir, "machines", "*"))
	if err != nil {
		return nil, err
	}

	var advertised map[string]string
	if data, err := os.ReadFile(fleet.advertisedFile()); err == nil {
		if err := json.Unmarshal(data, &advertised); err != nil {
			return nil, err
		}
	}

	for wire, address := range advertised {
		env.Fabric.Advertise(wire, address)
	}

	env.Fabric.Changed = func() {
		if err := fleet.save(); err != nil {
			log.Printf("cannot keep the addresses of etcd members: %s", err)
		}
	}

	for _, directory := range directories {
		m, err := machine.Load(env, directory)
		if err != nil {
			log.Printf("%s: %s", directory, err)

			continue
		}

		fleet.machines[m.Hardware().ID] = m
	}

	for _, m := range fleet.machines {
		if err := m.Start(); err != nil {
			return nil, err
		}
	}

	return fleet, nil
}

func (f *Fleet) advertisedFile() string { return filepath.Join(f.env.StateDir, "advertised.json") }

// save keeps what outlives the daemon besides the machines themselves.
func (f *Fleet) save() error {
	f.saving.Lock()
	defer f.saving.Unlock()

	data, err := json.Marshal(f.env.Fabric.Advertised())
	if err != nil {
		return err
	}

	return os.WriteFile(f.advertisedFile(), data, 0o600)
}

// Get returns a machine; nil if there is none.
func (f *Fleet) Get(id int) *machine.Machine {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.machines[id]
}

// All returns all machines by id.
func (f *Fleet) All() []*machine.Machine {
	f.mu.Lock()
	defer f.mu.Unlock()

	all := make([]*machine.Machine, 0, len(f.machines))
	for _, m := range f.machines {
		all = append(all, m)
	}

	slices.SortFunc(all, func(a, b *machine.Machine) int { return a.Hardware().ID - b.Hardware().ID })

	return all
}

// Declare creates or updates a machine.
func (f *Fleet) Declare(server hardware.Server) error {
	if server.ID <= 0 || server.Name == "" {
		return errors.New("a server needs an id and a name")
	}

	if server.Power != hardware.On && server.Power != hardware.Off {
		return fmt.Errorf("power is %q, not on or off", server.Power)
	}

	f.declaring.Lock()
	defer f.declaring.Unlock()

	if existing := f.Get(server.ID); existing != nil {
		return existing.Update(server)
	}

	m := machine.New(f.env, server)

	f.mu.Lock()
	f.machines[server.ID] = m
	f.mu.Unlock()

	return m.Start()
}

// Delete removes a machine with its disk; one that is not there is fine.
func (f *Fleet) Delete(id int) error {
	f.declaring.Lock()
	defer f.declaring.Unlock()

	m := f.Get(id)
	if m == nil {
		return nil
	}

	f.mu.Lock()
	delete(f.machines, id)
	f.mu.Unlock()

	return m.Delete()
}

// Halt ends all machines in parallel; their switches stay as they are.
func (f *Fleet) Halt() {
	var group sync.WaitGroup

	for _, m := range f.All() {
		group.Go(m.Halt)
	}

	group.Wait()
	f.balancers.Close()
}
