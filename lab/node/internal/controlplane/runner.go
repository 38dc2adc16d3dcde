package controlplane

import (
	"context"
	"sync"
	"time"

	"github.com/oxide-lab/node/internal/process"
)

// restartDelay is the pause before an ended component is started again.
const restartDelay = 3 * time.Second

// readyDelay is how long a component without a probe here runs before its pod counts as ready.
const readyDelay = 2 * time.Second

// stopGrace is how long a component may take to end by itself.
const stopGrace = 2 * time.Second

// Runner keeps the components of one node running.
type Runner struct {
	// LogDir gets one log a component.
	LogDir string
	// Changed is called when a component starts or ends; err says why it ended or did not start, unless it was stopped.
	Changed func(component string, running bool, err error)
	// Ready tells whether kube-apiserver answers. The other components end when they start without it, so they wait.
	Ready func() bool

	mu      sync.Mutex
	running map[string]*component
}

type component struct {
	command Command
	cancel  context.CancelFunc
	done    chan struct{}
}

// Apply starts, restarts and stops components so that exactly the given commands run.
func (r *Runner) Apply(commands []Command) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.running == nil {
		r.running = map[string]*component{}
	}

	wanted := map[string]bool{}

	for _, command := range commands {
		wanted[command.Component] = true

		current := r.running[command.Component]
		if current != nil && current.command.Restart == command.Restart {
			continue
		}

		if current != nil {
			current.cancel()
			<-current.done
		}

		ctx, cancel := context.WithCancel(context.Background())
		next := &component{command: command, cancel: cancel, done: make(chan struct{})}
		r.running[command.Component] = next

		go r.keep(ctx, next)
	}

	for name, current := range r.running {
		if !wanted[name] {
			current.cancel()
			<-current.done
			delete(r.running, name)
		}
	}
}

// Stop ends all components and returns when they are gone.
func (r *Runner) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, current := range r.running {
		current.cancel()
	}

	for name, current := range r.running {
		<-current.done
		delete(r.running, name)
	}
}

func (r *Runner) keep(ctx context.Context, c *component) {
	defer close(c.done)

	for c.command.Component != APIServer && !r.Ready() {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}

	for {
		err := c.command.Available()

		if err == nil {
			var p *process.Process

			p, err = process.Start(process.Spec{
				Path: c.command.Path, Args: c.command.Args, LogFile: r.LogDir + "/" + c.command.Component + ".log",
				// A collection at twice the live heap is Go's default; memory is plenty here and cores are few.
				Env: []string{"GOGC=200"},
			})
			if err == nil {
				if !r.watch(ctx, c, p) {
					return
				}

				err = p.Err()
			}
		}

		if ctx.Err() != nil {
			return
		}

		r.Changed(c.command.Component, false, err)

		select {
		case <-time.After(restartDelay):
		case <-ctx.Done():
			return
		}
	}
}

// watch reports a running component until it ends; false if it was stopped.
func (r *Runner) watch(ctx context.Context, c *component, p *process.Process) bool {
	delay := readyDelay
	if c.command.Component == APIServer {
		// Its readiness is asked for.
		delay = 0
	}

	ready := time.After(delay)

	for {
		select {
		case <-ready:
			r.Changed(c.command.Component, true, nil)
		case <-p.Done():
			return true
		case <-ctx.Done():
			p.Stop(stopGrace)
			r.Changed(c.command.Component, false, nil)

			return false
		}
	}
}
