package machine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// keptEntries is how many entries the journal keeps.
const keptEntries = 20000

// longestEntry bounds an entry in the file.
const longestEntry = 1 << 20

// Events of a server; sequences add their names with -begin and -end.
const (
	EventApply        = "apply"
	EventBootEnd      = "boot-end"
	EventKubelet      = "kubelet"
	EventStaticPod    = "static-pod"
	EventEtcdJoin     = "etcd-join"
	EventEtcdLeave    = "etcd-leave"
	EventEtcdRemove   = "etcd-remove"
	EventBootstrap    = "bootstrap"
	EventUpgradeBegin = "upgrade-begin"
	EventUpgradeEnd   = "upgrade-end"
	EventFault        = "fault"
	EventWaits        = "waits"
)

// Entry is something that happened to a server. Order grows over all servers of a lab, so entries compare even where
// clocks do not.
type Entry struct {
	Order    int64     `json:"order"`
	Time     time.Time `json:"time"`
	ServerID int       `json:"server_id"`
	Server   string    `json:"server"`
	Event    string    `json:"event"`
	Detail   string    `json:"detail"`
}

// Journal is the log of all servers of a lab, deleted ones too. It outlives the daemon.
type Journal struct {
	mu      sync.Mutex
	entries []Entry
	order   int64
	file    *os.File
}

// OpenJournal goes on with the journal of an earlier daemon.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}

	path := filepath.Join(dir, "events.jsonl")
	journal := &Journal{}

	if file, err := os.Open(path); err == nil {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, longestEntry)

		for lines.Scan() {
			var entry Entry
			// A killed daemon may have left half a line.
			if json.Unmarshal(lines.Bytes(), &entry) == nil {
				journal.keep(entry)
			}
		}

		file.Close() //nolint:errcheck
	}

	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}

	journal.file = file

	return journal, nil
}

func (j *Journal) keep(entry Entry) {
	j.order = max(j.order, entry.Order)
	j.entries = append(j.entries, entry)

	if len(j.entries) > keptEntries {
		j.entries = j.entries[len(j.entries)-keptEntries:]
	}
}

// Add writes an entry; its order and time are set here.
func (j *Journal) Add(id int, server, event, detail string) {
	j.mu.Lock()
	defer j.mu.Unlock()

	entry := Entry{Order: j.order + 1, Time: time.Now().UTC(), ServerID: id, Server: server, Event: event, Detail: detail}
	j.keep(entry)
	log.Printf("%s: %s: %s", server, event, detail)

	if line, err := json.Marshal(entry); err == nil {
		fmt.Fprintf(j.file, "%s\n", line) //nolint:errcheck // the log is a convenience
	}
}

// All returns the entries of all servers with a higher order, oldest first.
func (j *Journal) All(after int64) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()

	found := []Entry{}

	for _, entry := range j.entries {
		if entry.Order > after {
			found = append(found, entry)
		}
	}

	return found
}

// Of returns the entries of one server, oldest first.
func (j *Journal) Of(id int) []Entry {
	return slices.DeleteFunc(j.All(0), func(entry Entry) bool { return entry.ServerID != id })
}
