package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// pullInterval is the pause between two attempts to pull an image.
const pullInterval = 2 * time.Second

// Pull gets an image into the node's store. What is there is not asked for again, so a node that loses its way to the
// internet goes on with what it runs.
func (b *Boot) Pull(image string) error {
	b.machine.images.Lock()
	defer b.machine.images.Unlock()

	path := b.machine.disk().Ephemeral("images.json")

	var stored []string

	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &stored)
	}

	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}

	if slices.Contains(stored, image) {
		return nil
	}

	if err := b.reachRegistry(image); err != nil {
		return err
	}

	if data, err = json.Marshal(append(stored, image)); err != nil {
		return err
	}

	return writeFile(path, data)
}

// reachRegistry fails as the pull of an image does where no registry answers.
func (b *Boot) reachRegistry(image string) error {
	if err := b.env.Fabric.Internet(b.machine.Hardware()); err != nil {
		host, _, _ := strings.Cut(image, "/")

		return fmt.Errorf("failed to pull image %q: failed to resolve reference %q: dial tcp %s:443: %w", image, image, host, err)
	}

	return nil
}
