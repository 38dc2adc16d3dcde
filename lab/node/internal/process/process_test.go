package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStopEndsAProgramThatIgnoresTheRequest(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")

	p, err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"}, LogFile: log})
	if err != nil {
		t.Fatal(err)
	}

	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		if data, _ := os.ReadFile(log); string(data) == "up\n" {
			break
		}

		time.Sleep(10 * time.Millisecond)
	}

	p.Stop(100 * time.Millisecond)

	select {
	case <-p.Done():
	default:
		t.Fatal("the program is still running")
	}

	if p.Err() == nil {
		t.Fatal("a killed program ended without an error")
	}
}
