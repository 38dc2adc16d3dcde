package machine

import (
	"fmt"
	"slices"
	"sync"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// States of a service, in Talos' words.
const (
	ServiceWaiting   = "Waiting"
	ServicePreparing = "Preparing"
	ServiceRunning   = "Running"
	ServiceStopping  = "Stopping"
	ServiceFinished  = "Finished"
	ServiceFailed    = "Failed"
)

// keptServiceEvents is how many events a service remembers.
const keptServiceEvents = 16

// Service is one service of a node as `talosctl service` shows it.
type Service struct {
	ID      string
	State   string
	Healthy bool
	Unknown bool
	Message string
	changed time.Time
	events  []*machineapi.ServiceEvent
}

// Services are the services of one boot.
type Services struct {
	events  *Events
	changed func()

	mu  sync.Mutex
	all map[string]*Service
}

// Set records a service's state. Without an earlier state the service is new.
func (s *Services) Set(id, state, message string) { s.update(id, state, message, false, true) }

// SetHealth records the health of a running service.
func (s *Services) SetHealth(id string, healthy bool, message string) {
	s.update(id, ServiceRunning, message, healthy, false)
}

func (s *Services) update(id, state, message string, healthy, unknown bool) {
	s.mu.Lock()

	service := s.all[id]
	if service == nil {
		service = &Service{ID: id}
		s.all[id] = service
	}

	// A running service whose health is known does not become unknown by a repeated "running".
	if unknown && state == ServiceRunning && service.State == ServiceRunning && !service.Unknown {
		healthy, unknown = service.Healthy, false
	}

	if service.State == state && service.Healthy == healthy && service.Unknown == unknown && service.Message == message {
		s.mu.Unlock()

		return
	}

	service.State, service.Healthy, service.Unknown, service.Message = state, healthy, unknown, message
	service.changed = time.Now()

	event := &machineapi.ServiceEvent{Msg: message, State: state, Ts: timestamppb.Now()}
	service.events = append(service.events, event)

	if len(service.events) > keptServiceEvents {
		service.events = service.events[1:]
	}

	published := &machineapi.ServiceStateEvent{Service: id, Message: message, Health: service.health()}
	if action, known := serviceActions[state]; known {
		published.Action = action
	}

	s.mu.Unlock()
	s.events.Publish(published, "")
	s.changed()
}

var serviceActions = map[string]machineapi.ServiceStateEvent_Action{
	ServiceWaiting:   machineapi.ServiceStateEvent_WAITING,
	ServicePreparing: machineapi.ServiceStateEvent_PREPARING,
	ServiceRunning:   machineapi.ServiceStateEvent_RUNNING,
	ServiceStopping:  machineapi.ServiceStateEvent_STOPPING,
	ServiceFinished:  machineapi.ServiceStateEvent_FINISHED,
	ServiceFailed:    machineapi.ServiceStateEvent_FAILED,
}

func (s *Service) health() *machineapi.ServiceHealth {
	return &machineapi.ServiceHealth{
		Unknown:     s.Unknown,
		Healthy:     s.Healthy,
		LastMessage: s.Message,
		LastChange:  timestamppb.New(s.changed),
	}
}

// List returns all services by name.
func (s *Services) List() []Service {
	s.mu.Lock()
	defer s.mu.Unlock()

	list := make([]Service, 0, len(s.all))
	for _, service := range s.all {
		list = append(list, *service)
	}

	slices.SortFunc(list, func(a, b Service) int { return compare(a.ID, b.ID) })

	return list
}

// Get returns one service.
func (s *Services) Get(id string) (Service, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	service := s.all[id]
	if service == nil {
		return Service{}, false
	}

	return *service, true
}

// Proto is the service as the API returns it.
func (s Service) Proto() *machineapi.ServiceInfo {
	return &machineapi.ServiceInfo{
		Id:     s.ID,
		State:  s.State,
		Health: s.health(),
		Events: &machineapi.ServiceEvents{Events: slices.Clone(s.events)},
	}
}

// Up tells whether the service does its work.
func (s Service) Up() bool { return s.State == ServiceRunning && (s.Unknown || s.Healthy) }

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func started(id string, pid int) string {
	return fmt.Sprintf("Started task %s (PID %d) for container %s", id, pid, id)
}
