package machine

import "sync"

// Signal tells any number of loops that something changed.
type Signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// Wait returns a channel that is closed at the next Notify.
func (s *Signal) Wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.ch == nil {
		s.ch = make(chan struct{})
	}

	return s.ch
}

// Notify wakes all that wait.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
