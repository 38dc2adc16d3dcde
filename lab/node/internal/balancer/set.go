package balancer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/oxide-lab/node/internal/fabric"
)

// Set is all load balancers of a lab.
type Set struct {
	fabric *fabric.Fabric
	file   string
	scale  float64

	mu  sync.Mutex
	all map[int]*Balancer
}

// NewSet brings back the load balancers that an earlier daemon kept in file.
func NewSet(f *fabric.Fabric, file string, scale float64) (*Set, error) {
	set := &Set{fabric: f, file: file, scale: scale, all: map[int]*Balancer{}}

	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return set, nil
	}

	if err != nil {
		return nil, err
	}

	var specs []Spec
	if err := json.Unmarshal(data, &specs); err != nil {
		return nil, err
	}

	for _, spec := range specs {
		set.apply(spec)
	}

	return set, nil
}

func (s *Set) apply(spec Spec) {
	balancer := s.all[spec.ID]
	if balancer == nil {
		balancer = New(s.fabric, s.scale)
		s.all[spec.ID] = balancer
		s.fabric.AttachBalancer(spec.ID, balancer)
	}

	balancer.Apply(spec)
}

// Declare creates or changes a load balancer.
func (s *Set) Declare(spec Spec) error {
	if spec.ID <= 0 || spec.Name == "" {
		return errors.New("a load balancer needs an id and a name")
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.apply(spec)

	return s.save()
}

// Delete removes a load balancer; one that is not there is fine.
func (s *Set) Delete(id int) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if balancer := s.all[id]; balancer != nil {
		s.fabric.DetachBalancer(id)
		balancer.Close()
		delete(s.all, id)
	}

	return s.save()
}

// save keeps the declarations for the next daemon.
func (s *Set) save() error {
	specs := []Spec{}
	for _, balancer := range s.sorted() {
		specs = append(specs, balancer.Spec())
	}

	data, err := json.Marshal(specs)
	if err != nil {
		return err
	}

	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return err
	}

	// A daemon that is killed while it writes must not leave half a file.
	if err := os.WriteFile(s.file+".new", data, 0o600); err != nil {
		return err
	}

	return os.Rename(s.file+".new", s.file)
}

func (s *Set) sorted() []*Balancer {
	all := make([]*Balancer, 0, len(s.all))
	for _, balancer := range s.all {
		all = append(all, balancer)
	}

	slices.SortFunc(all, func(a, b *Balancer) int { return a.Spec().ID - b.Spec().ID })

	return all
}

// Statuses returns the state of all load balancers.
func (s *Set) Statuses() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()

	statuses := []Status{}
	for _, balancer := range s.sorted() {
		statuses = append(statuses, balancer.Status())
	}

	return statuses
}

// Close ends all load balancers; their declarations stay.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, balancer := range s.all {
		balancer.Close()
	}
}
