package machine

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/blang/semver/v4"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/compatibility"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// installerImage matches Image Factory's installers (with a schematic) and the plain one.
var installerImage = regexp.MustCompile(`^[a-z0-9.:-]+/(?:[a-z0-9-]+-installer(?:-secureboot)?|installer|siderolabs/installer)(?:/([0-9a-f]{64}))?:(v\d+\.\d+\.\d+[0-9A-Za-z.-]*)$`)

// Installer is what an installer image would put on the disk, or an error if the image cannot be pulled or does not
// install over the current version.
func (b *Boot) Installer(image string) (Installed, error) {
	match := installerImage.FindStringSubmatch(image)
	if match == nil {
		return Installed{}, status.Errorf(codes.InvalidArgument, "error validating installer image %q: not an installer image the lab knows", image)
	}

	installed := b.Installed
	installed.Schematic, installed.TalosVersion = match[1], match[2]

	target, err := compatibility.ParseTalosVersion(&machineapi.VersionInfo{Tag: match[2]})
	if err != nil {
		return Installed{}, status.Errorf(codes.InvalidArgument, "error validating installer image %q: %s", image, err)
	}

	current, err := compatibility.ParseTalosVersion(&machineapi.VersionInfo{Tag: b.Installed.TalosVersion})
	if err != nil {
		return Installed{}, err
	}

	if err := target.UpgradeableFrom(current); err != nil {
		return Installed{}, fmt.Errorf("pre-flight checks failed: %w", err)
	}

	return installed, nil
}

// CheckEtcdForUpgrade refuses an upgrade that could cost etcd its quorum, as Talos' legacy upgrade call does.
func (b *Boot) CheckEtcdForUpgrade(ctx context.Context) error {
	if !b.Configured() || !machineconfig.IsControlPlane(b.Config()) {
		return nil
	}

	client, err := b.EtcdClient(ctx, false)
	if err != nil {
		return fmt.Errorf("failed to create etcd client: %w", err)
	}
	defer client.Close() //nolint:errcheck

	list, err := client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("error validating etcd for upgrade: %w", err)
	}

	if len(list.Members) == 2 {
		return fmt.Errorf("error validating etcd for upgrade: etcd member count(%d) is insufficient to maintain quorum if upgrade commences", len(list.Members))
	}

	for _, member := range list.Members {
		if member.Name == "" {
			return fmt.Errorf("error validating etcd for upgrade: etcd member %016x is not started, all members must be running to perform an upgrade", member.ID)
		}

		wire := strings.TrimSuffix(strings.TrimPrefix(member.ClientURLs[0], "https://"), ":2379")

		single, err := b.Etcd().Client(ctx, wire)
		if err == nil {
			_, err = single.Get(ctx, "health")
			single.Close() //nolint:errcheck
		}

		if err != nil {
			return fmt.Errorf("error validating etcd for upgrade: etcd member %016x is not healthy; all members must be healthy to perform an upgrade: %w", member.ID, err)
		}
	}

	return nil
}

// Install puts a system on the disk; it runs after the next reboot.
func (b *Boot) Install(installed Installed) error {
	b.machine.Note("upgrade", "installed %s", installed.TalosVersion)

	return b.machine.disk().Install(installed)
}

// Upgrade drains, installs and reboots.
func (b *Boot) Upgrade(actor string, installed Installed, drain bool) {
	var tasks []task
	if drain && b.Configured() {
		tasks = append(tasks, task{"drain", "cordonAndDrainNode", true, b.drain})
	}

	tasks = append(tasks, task{"upgrade", "upgrade", false, func(context.Context) error { return b.Install(installed) }})
	tasks = append(tasks, b.stopTasks(true)...)
	b.sequenceAsync(actor, "upgrade", runtime.MachineStageUpgrading, append(tasks, task{"reboot", "reboot", false, b.restart}))
}

// Version is the installed version without its v; 0.0.0 if it is none.
func (b *Boot) Version() semver.Version {
	version, err := semver.ParseTolerant(b.Installed.TalosVersion)
	if err != nil {
		return semver.Version{}
	}

	return version
}
