package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// keptKernelLines is how many lines `talosctl dmesg` shows.
const keptKernelLines = 1000

// waitsFor records why a part of the node does not get on; an empty reason means that it does. The reasons are the
// server's message in the control API.
func (b *Boot) waitsFor(part, reason string) {
	b.mu.Lock()

	if b.waiting[part] == reason {
		b.mu.Unlock()

		return
	}

	if reason == "" {
		delete(b.waiting, part)
	} else {
		b.waiting[part] = reason
	}

	parts := make([]string, 0, len(b.waiting))
	for _, name := range slices.Sorted(maps.Keys(b.waiting)) {
		parts = append(parts, name+": "+b.waiting[name])
	}
	b.mu.Unlock()

	if b.ctx.Err() != nil {
		return
	}

	if reason != "" {
		b.machine.Note(EventWaits, "%s: %s", part, reason)
		b.Kernel("%s: %s", part, reason)
	}

	b.machine.setMessage(strings.Join(parts, "; "))
	b.changed.Notify()
}

func (m *Machine) setMessage(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.message = message
}

// Kernel adds a line to the kernel log.
func (b *Boot) Kernel(format string, args ...any) {
	line := fmt.Sprintf("user: warning: [%s]: [talos] %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))

	b.mu.Lock()
	defer b.mu.Unlock()

	b.kmsg = append(b.kmsg, line)
	if len(b.kmsg) > keptKernelLines {
		b.kmsg = b.kmsg[len(b.kmsg)-keptKernelLines:]
	}
}

// KernelLog returns the kernel log.
func (b *Boot) KernelLog() []string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return slices.Clone(b.kmsg)
}
