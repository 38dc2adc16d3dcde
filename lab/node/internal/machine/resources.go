package machine

import (
	"context"
	"net/netip"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	configapi "github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	timeres "github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// resourceInterval is how often resources are refreshed without a change on the node itself: discovery sees others.
const resourceInterval = 3 * time.Second

// watchResources keeps what `talosctl get` shows in line with the node.
func (b *Boot) watchResources(ctx context.Context) {
	for {
		change := b.changed.Wait()

		if b.Configured() {
			b.finishBoot()
		}

		b.writeBase(ctx)

		if b.Configured() {
			b.writeNode(ctx)
			b.writeMembers(ctx)
			b.writeKubernetes(ctx)
			b.writeEtcd(ctx)
		}

		b.writeStatus(ctx)

		if !b.waitOn(ctx, change, resourceInterval) {
			return
		}
	}
}

func (b *Boot) put(ctx context.Context, res resource.Resource) { put(ctx, b.State, res) }

// writeBase writes what a node has in maintenance mode too.
func (b *Boot) writeBase(ctx context.Context) {
	hw := b.machine.Hardware()

	version := runtime.NewVersion()
	version.TypedSpec().Name, version.TypedSpec().Version = "Talos", b.Installed.TalosVersion
	b.put(ctx, version)

	platform := runtime.NewPlatformMetadataSpec(runtime.NamespaceName, runtime.PlatformMetadataID)
	*platform.TypedSpec() = runtime.PlatformMetadataSpec{
		Platform: "hcloud", Hostname: hw.Name, Region: hw.Location, Zone: hw.Location, InstanceType: hw.ServerType.Name,
	}
	b.put(ctx, platform)

	security := runtime.NewSecurityStateSpec(runtime.NamespaceName)
	b.put(ctx, security)

	if b.Installed.Schematic != "" {
		extension := runtime.NewExtensionStatus(runtime.NamespaceName, "0")
		extension.TypedSpec().Metadata.Name = "schematic"
		extension.TypedSpec().Metadata.Version = b.Installed.Schematic
		b.put(ctx, extension)
	}

	clock := timeres.NewStatus()
	clock.TypedSpec().Synced = true
	b.put(ctx, clock)

	disk := block.NewDisk(block.NamespaceName, "sda")
	disk.TypedSpec().DevPath = "/dev/sda"
	disk.TypedSpec().Size = uint64(hw.ServerType.DiskGB) << 30
	disk.TypedSpec().SetSize(disk.TypedSpec().Size)
	disk.TypedSpec().Model = "QEMU HARDDISK"
	b.put(ctx, disk)

	system := block.NewSystemDisk(block.NamespaceName, block.SystemDiskID)
	system.TypedSpec().DiskID, system.TypedSpec().DevPath = "sda", "/dev/sda"
	b.put(ctx, system)

	for label, device := range map[string]string{constants.StatePartitionLabel: "/dev/sda5", constants.EphemeralPartitionLabel: "/dev/sda6"} {
		volume := block.NewVolumeStatus(block.NamespaceName, label)
		volume.TypedSpec().Phase = block.VolumePhaseReady
		volume.TypedSpec().Location, volume.TypedSpec().ParentLocation = device, "/dev/sda"
		volume.TypedSpec().Filesystem = block.FilesystemTypeXFS
		volume.TypedSpec().SetSize(disk.TypedSpec().Size)
		b.put(ctx, volume)
	}

	information := hardware.NewSystemInformation(hardware.SystemInformationID)
	information.TypedSpec().Manufacturer, information.TypedSpec().ProductName = "Hetzner", "vServer"
	information.TypedSpec().UUID = b.Installed.NodeID
	b.put(ctx, information)

	b.writeAddresses(ctx)
}

func (b *Boot) writeAddresses(ctx context.Context) {
	hw := b.machine.Hardware()

	var prefixes []netip.Prefix

	links := map[string][]netip.Addr{"eth0": nil}

	private := "eth0"
	if hw.Public().IsValid() {
		private = "eth1"
		links["eth0"] = append(links["eth0"], hw.Public())
	}

	links[private] = append(links[private], hw.PrivateAddrs()...)

	if addr, err := netip.ParseAddr(hw.PublicIPv6); err == nil {
		links["eth0"] = append(links["eth0"], addr)
	}

	for _, addr := range b.Addresses() {
		prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}

	for _, id := range []string{network.NodeAddressDefaultID, network.NodeAddressCurrentID, network.NodeAddressRoutedID, network.NodeAddressAccumulativeID} {
		ids := []string{id}
		if b.Configured() {
			ids = append(ids, network.FilteredNodeAddressID(id, k8s.NodeAddressFilterNoK8s))
		}

		for _, name := range ids {
			addresses := network.NewNodeAddress(network.NamespaceName, name)
			addresses.TypedSpec().Addresses = prefixes

			if id == network.NodeAddressDefaultID && len(prefixes) > 1 {
				addresses.TypedSpec().Addresses = prefixes[:1]
			}

			b.put(ctx, addresses)
		}
	}

	index := uint32(2)

	for _, name := range []string{"eth0", "eth1"} {
		addrs, exists := links[name]
		if !exists || name == "eth1" && len(addrs) == 0 {
			continue
		}

		link := network.NewLinkStatus(network.NamespaceName, name)
		spec := link.TypedSpec()
		spec.Index, spec.Type, spec.LinkState, spec.MTU = index, nethelpers.LinkEther, true, 1500
		spec.OperationalState = nethelpers.OperStateUp

		if name == private {
			spec.MTU = 1450
		}

		b.put(ctx, link)

		for _, addr := range addrs {
			prefix := netip.PrefixFrom(addr, addr.BitLen())
			status := network.NewAddressStatus(network.NamespaceName, network.AddressID(name, prefix))
			status.TypedSpec().Address, status.TypedSpec().LinkName, status.TypedSpec().LinkIndex = prefix, name, index
			status.TypedSpec().Family = nethelpers.FamilyInet4

			if addr.Is6() {
				status.TypedSpec().Family = nethelpers.FamilyInet6
			}

			b.put(ctx, status)
		}

		index++
	}
}

// writeNode writes what comes from the machine config.
func (b *Boot) writeNode(ctx context.Context) {
	cfg := b.Config()

	b.mu.Lock()
	current := [2]configapi.Provider{b.config, b.persistent}
	written := b.written
	b.written = current
	b.mu.Unlock()

	for i, id := range []string{config.ActiveID, config.PersistentID} {
		if current[i] == written[i] {
			continue
		}

		res := config.NewMachineConfigWithID(current[i], id)
		if current, err := b.State.Get(ctx, res.Metadata()); err == nil {
			res.Metadata().SetVersion(current.Metadata().Version())
			b.State.Update(ctx, res) //nolint:errcheck // fails only when the boot ends
		} else {
			b.State.Create(ctx, res) //nolint:errcheck // fails only when the boot ends
		}
	}

	kind := config.NewMachineType()
	kind.SetMachineType(cfg.Machine().Type())
	b.put(ctx, kind)

	hostname := network.NewHostnameStatus(network.NamespaceName, network.HostnameID)
	hostname.TypedSpec().Hostname = b.Hostname()
	b.put(ctx, hostname)

	status := network.NewStatus(network.NamespaceName, network.StatusID)
	*status.TypedSpec() = network.StatusSpec{AddressReady: true, ConnectivityReady: true, HostnameReady: true, EtcFilesReady: true}
	b.put(ctx, status)

	identity := cluster.NewIdentity(cluster.NamespaceName, cluster.LocalIdentity)
	identity.TypedSpec().NodeID = b.Installed.NodeID
	b.put(ctx, identity)

	info := cluster.NewInfo()
	info.TypedSpec().ClusterID, info.TypedSpec().ClusterName = cfg.Cluster().ID(), cfg.Cluster().Name()
	b.put(ctx, info)

	for _, service := range b.Services.List() {
		// Only what runs has a resource: `talosctl upgrade-k8s` waits for the kubelet's to go and to come.
		res := v1alpha1.NewService(service.ID)
		if service.State != ServiceRunning {
			drop(ctx, b.State, res)

			continue
		}

		res.TypedSpec().Running = true
		res.TypedSpec().Healthy, res.TypedSpec().Unknown = service.Healthy, service.Unknown
		b.put(ctx, res)
	}
}

// writeMembers writes the members that discovery knows: nodes of the same cluster id and secret that have discovery
// on. It is for show; joining does not depend on it.
func (b *Boot) writeMembers(ctx context.Context) {
	seen := map[string]bool{}

	for _, peer := range b.env.Clusters.boots() {
		cfg := peer.Config()
		if cfg == nil || cfg.Cluster().ID() != b.Config().Cluster().ID() || cfg.Cluster().Secret() != b.Config().Cluster().Secret() {
			continue
		}

		if peer != b && (!cfg.Cluster().Discovery().Enabled() || !b.Config().Cluster().Discovery().Enabled()) {
			continue
		}

		member := cluster.NewMember(cluster.NamespaceName, peer.Hostname())
		spec := member.TypedSpec()
		spec.NodeID = peer.Installed.NodeID
		spec.Addresses = peer.Addresses()
		spec.Hostname = peer.Hostname()
		spec.MachineType = cfg.Machine().Type()
		spec.OperatingSystem = "Talos (" + peer.Installed.TalosVersion + ")"

		if machineconfig.IsControlPlane(cfg) {
			spec.ControlPlane = &cluster.ControlPlane{APIServerPort: cfg.Cluster().LocalAPIServerPort()}
		}

		seen[peer.Hostname()] = true

		b.put(ctx, member)
	}

	list, err := safe.StateListAll[*cluster.Member](ctx, b.State)
	if err != nil {
		return
	}

	for member := range list.All() {
		if !seen[member.Metadata().ID()] {
			drop(ctx, b.State, member)
		}
	}
}
