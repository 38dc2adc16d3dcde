// Package process runs child programs whose life is bound to the daemon's: they end when it ends, even when it is
// killed.
package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// maxLogSize is the size above which a log is started anew when its program starts.
const maxLogSize = 8 << 20

// Spec says what to run.
type Spec struct {
	Path    string
	Args    []string
	Env     []string
	LogFile string
}

// Process is a started program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// starts is served by one thread that never ends: the kernel sends the parent-death signal when the *thread* that
// forked the child ends, which for an ordinary goroutine can happen at any time.
var starts = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()

		for start := range starts {
			start()
		}
	}()
}

// Start runs a program. Its output goes to the end of the log file.
func Start(spec Spec) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(spec.LogFile), 0o755); err != nil {
		return nil, err
	}

	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(spec.LogFile); err == nil && info.Size() > maxLogSize {
		flags |= os.O_TRUNC
	}

	log, err := os.OpenFile(spec.LogFile, flags, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout = log
	cmd.Stderr = log
	// A group of its own: Ctrl-C in a terminal reaches the daemon only, which then ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	starts <- func() { started <- cmd.Start() }

	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", filepath.Base(spec.Path), err)
	}

	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()

	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the program ended; valid once Done is closed.
func (p *Process) Err() error { return p.err }

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop asks the program to end and kills it after the grace period; 0 kills at once. It returns when it is gone.
func (p *Process) Stop(grace time.Duration) {
	if grace > 0 {
		p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck

		select {
		case <-p.done:
			return
		case <-time.After(grace):
		}
	}

	p.cmd.Process.Kill() //nolint:errcheck
	<-p.done
}
