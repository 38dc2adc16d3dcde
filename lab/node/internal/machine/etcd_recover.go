package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// SnapshotFile is where an uploaded snapshot waits for the bootstrap that recovers it.
func (b *Boot) SnapshotFile() string { return b.machine.disk().Ephemeral("etcd-recovery.snapshot") }

// recoverEtcd makes the member's data from the uploaded snapshot. The member is then the only one of its cluster.
func (b *Boot) recoverEtcd(ctx context.Context, skipHash bool) error {
	file := b.SnapshotFile()
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("error verifying snapshot: %w", err)
	}

	if err := b.Etcd().Restore(ctx, filepath.Join(b.env.BinDir, "etcdutl"), file, skipHash); err != nil {
		return fmt.Errorf("error recovering from the snapshot: %w", err)
	}

	b.machine.Note(EventBootstrap, "snapshot restored")

	return os.Remove(file)
}
