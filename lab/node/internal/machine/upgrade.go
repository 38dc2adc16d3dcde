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

// installerName matches every image that could be an installer, whatever its tag.
var installerName = regexp.MustCompile(`/(?:[a-z0-9-]*-)?installer(?:-secureboot)?(?:/[^/]+)?$`)

// PullInstaller pulls an installer image, or fails as a registry without that image does.
func (b *Boot) PullInstaller(image string) error {
	if !installerImage.MatchString(image) || b.env.Faults.Take(b.machine.Hardware().Name, FaultImageNotFound) {
		return status.Errorf(codes.NotFound, "error pulling image: failed to pull image %q: failed to resolve reference %q: %s: not found", image, image, image)
	}

	if err := b.reachRegistry(image); err != nil {
		return status.Error(codes.Unavailable, "error pulling image: "+err.Error())
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	b.pulled[image] = true

	return nil
}

// IsInstaller tells whether an image looks like one of Talos' installers.
func IsInstaller(image string) bool { return installerName.MatchString(image) }

// Installer is what a pulled installer image would put on the disk, or an error if it does not install over the current
// version.
func (b *Boot) Installer(image string) (Installed, error) {
	b.mu.Lock()
	pulled := b.pulled[image]
	b.mu.Unlock()

	match := installerImage.FindStringSubmatch(image)
	if match == nil || !pulled {
		return Installed{}, status.Errorf(codes.Internal, "upgrade failed: installer image %q not found in containerd store: image %q: not found", image, image)
	}

	current := b.Installed
	current.Fallback, current.Unproven = nil, false

	installed := current
	installed.TalosVersion, installed.Fallback, installed.Unproven = match[2], &current, true

	installed.Schematic = match[1]
	if installed.Schematic == "" {
		installed.Schematic = vanillaSchematic
	}

	target, err := compatibility.ParseTalosVersion(&machineapi.VersionInfo{Tag: match[2]})
	if err != nil {
		return Installed{}, err
	}

	host, err := compatibility.ParseTalosVersion(&machineapi.VersionInfo{Tag: b.Installed.TalosVersion})
	if err != nil {
		return Installed{}, err
	}

	if err := target.UpgradeableFrom(host); err != nil {
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
	return b.machine.disk().Install(installed)
}

// prove ends an upgrade with the first boot after it: in the new system, or by the boot loader in the old one.
func (b *Boot) prove() {
	installed := b.Installed
	if !installed.Unproven {
		return
	}

	installed.Unproven = false

	if err := b.Install(installed); err != nil {
		b.machine.Note(EventUpgradeEnd, "failed: %s", err)

		return
	}

	b.machine.Note(EventUpgradeEnd, "%s -> %s, schematic %.8s", installed.Fallback.TalosVersion, installed.TalosVersion, installed.Schematic)
}

// fallBack is what the boot loader does when a new system does not boot: it goes on with the old one.
func (b *Boot) fallBack(installed Installed) (Installed, error) {
	if !installed.Unproven || !b.env.Faults.Take(b.machine.Hardware().Name, FaultFallsBack) {
		return installed, nil
	}

	old := *installed.Fallback
	b.machine.Note(EventUpgradeEnd, "failed: %s does not boot, the boot loader falls back to %s", installed.TalosVersion, old.TalosVersion)
	pause(b.ctx, b.env.BootTime)

	return old, b.Install(old)
}

// Upgrade drains, installs and reboots.
func (b *Boot) Upgrade(actor string, installed Installed, drain bool) {
	b.BeginUpgrade(installed)

	var tasks []task
	if drain && b.Configured() {
		tasks = append(tasks, task{"drain", "cordonAndDrainNode", true, b.drain})
	}

	tasks = append(tasks, task{"upgrade", "upgrade", false, func(context.Context) error { return b.Install(installed) }})
	tasks = append(tasks, b.stopTasks(true)...)
	b.sequenceAsync(actor, "upgrade", runtime.MachineStageUpgrading, append(tasks, task{"reboot", "reboot", false, b.restart}))
}

// BeginUpgrade records that an installer starts.
func (b *Boot) BeginUpgrade(installed Installed) {
	b.machine.Note(EventUpgradeBegin, "%s -> %s", b.Installed.TalosVersion, installed.TalosVersion)
}

// Version is the installed version without its v; 0.0.0 if it is none.
func (b *Boot) Version() semver.Version {
	version, err := semver.ParseTolerant(b.Installed.TalosVersion)
	if err != nil {
		return semver.Version{}
	}

	return version
}
