package machine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oxide-lab/node/internal/etcd"
	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machineconfig"
	"github.com/oxide-lab/node/internal/process"
)

// etcdService is the state of a control plane's etcd service.
type etcdService struct {
	mu        sync.Mutex
	process   *process.Process
	bootstrap bool
	// fromSnapshot is set while a bootstrap starts from the uploaded snapshot.
	fromSnapshot, skipHash bool
	stopped                bool
	hard                   bool
}

func (e *etcdService) isRunning() bool {
	e.mu.Lock()
	defer e.mu.Unlock()

	return e.process != nil
}

func (e *etcdService) setHard(hard bool) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.hard = hard
}

func (e *etcdService) set(p *process.Process) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.process = p
}

// halt ends the member: gently, unless the plug was pulled.
func (e *etcdService) halt() {
	e.mu.Lock()
	p, hard := e.process, e.hard
	e.mu.Unlock()

	if p == nil {
		return
	}

	if hard {
		p.Stop(0)
	} else {
		p.Stop(3 * time.Second)
	}

	e.set(nil)
}

// etcdAddress is the address that the node advertises to etcd, by cluster.etcd.advertisedSubnets.
func (b *Boot) etcdAddress() (netip.Addr, error) {
	subnets := b.Config().Cluster().Etcd().AdvertisedSubnets()

	addrs := machineconfig.FilterAddrs(b.Addresses(), subnets)
	if len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("no address of the node (%v) lies in cluster.etcd.advertisedSubnets %v, etcd does not start", b.Addresses(), subnets)
	}

	return addrs[0], nil
}

// Etcd is the node's own member, running or not.
func (b *Boot) Etcd() *etcd.Member {
	return &etcd.Member{
		Name:      b.Hostname(),
		Wire:      b.Wire(),
		DataDir:   b.machine.disk().Ephemeral("etcd"),
		LogFile:   filepath.Join(b.logDir(), "etcd.log"),
		Binary:    filepath.Join(b.env.BinDir, "etcd"),
		PKI:       etcd.PKI{Dir: filepath.Join(b.runDir(), "etcd")},
		ExtraArgs: b.Config().Cluster().Etcd().ExtraArgs(),
	}
}

// EtcdRunning tells whether the node's own member runs.
func (b *Boot) EtcdRunning() bool { return b.etcd.isRunning() }

// EtcdPeers are the wire addresses of the other control planes behind the cluster endpoint whose etcd runs, and the
// reason if there is none.
func (b *Boot) EtcdPeers() ([]string, error) {
	machines, err := b.routes(fabric.PortEtcd)

	var wires []string

	for _, m := range machines {
		if m != b.machine {
			wires = append(wires, b.env.Fabric.Wire(m.Hardware().ID))
		}
	}

	if len(wires) == 0 && err == nil {
		err = fmt.Errorf("no other control plane with a running etcd behind %s", b.Config().Cluster().Endpoint().Host)
	}

	return wires, err
}

// runEtcd keeps the member running: it founds a cluster when asked to bootstrap, joins one that is there, and goes on
// with the data of an earlier boot.
func (b *Boot) runEtcd(ctx context.Context) {
	b.Services.Set("etcd", ServicePreparing, "Running pre state")

	for ctx.Err() == nil {
		change := b.changed.Wait()

		b.etcd.mu.Lock()
		stopped := b.etcd.stopped
		b.etcd.mu.Unlock()

		if stopped {
			if !b.waitOn(ctx, change, time.Minute) {
				return
			}

			continue
		}

		learner, p, err := b.startEtcd(ctx)
		if err != nil {
			b.waitsFor("etcd", err.Error())

			if !b.waitOn(ctx, change, 3*time.Second) {
				return
			}

			continue
		}

		b.waitsFor("etcd", "")
		b.etcd.set(p)
		b.Services.Set("etcd", ServiceRunning, started("etcd", p.Pid()))
		b.machine.Note("etcd", "member started")

		watching, cancel := context.WithCancel(ctx)

		if learner != 0 {
			go b.promoteEtcd(watching, learner)
		}

		go b.checkEtcd(watching)

		select {
		case <-p.Done():
			b.etcd.set(nil)

			if !b.EtcdLeft() {
				b.waitsFor("etcd", fmt.Sprintf("etcd ended: %v", p.Err()))
				b.Services.Set("etcd", ServiceWaiting, "Error running etcd, going to restart forever: "+fmt.Sprint(p.Err()))
			}
		case <-ctx.Done():
			b.etcd.halt()
		}

		cancel()
		b.changed.Notify()
		pause(ctx, 2*time.Second)
	}
}

// startEtcd starts the member once it knows with which others.
func (b *Boot) startEtcd(ctx context.Context) (learner uint64, p *process.Process, err error) {
	address, err := b.etcdAddress()
	if err != nil {
		b.Services.Set("etcd", ServiceWaiting, "Waiting for etcd spec")

		return 0, nil, err
	}

	if err := b.Pull(b.Config().Cluster().Etcd().Image()); err != nil {
		b.Services.Set("etcd", ServicePreparing, "Running pre state")

		return 0, nil, err
	}

	member := b.Etcd()
	if err := member.PKI.Write(b.Config().Cluster().Etcd().CA(), member.Name, []string{member.Wire, address.String()}); err != nil {
		return 0, nil, err
	}

	b.env.Fabric.Advertise(member.Wire, address.String())

	var initial, state string

	if !member.HasData() {
		b.etcd.mu.Lock()
		bootstrap, fromSnapshot, skipHash := b.etcd.bootstrap, b.etcd.fromSnapshot, b.etcd.skipHash
		b.etcd.mu.Unlock()

		switch {
		case bootstrap && fromSnapshot:
			if err := b.recoverEtcd(ctx, skipHash); err != nil {
				return 0, nil, err
			}
		case bootstrap:
			initial, state = member.Name+"="+member.PeerURL(), "new"
		default:
			state = "existing"

			b.Services.Set("etcd", ServicePreparing, "Running pre state")

			wires, err := b.EtcdPeers()
			if err != nil {
				return 0, nil, fmt.Errorf("waiting to join the cluster; the first control plane needs `talosctl bootstrap` (%w)", err)
			}

			if initial, learner, err = member.Join(ctx, wires); err != nil {
				return 0, nil, fmt.Errorf("failed to build initial etcd cluster: %w", err)
			}

			b.machine.Note(EventEtcdJoin, "member %016x added as learner", learner)
		}
	}

	p, err = member.Start(initial, state)

	return learner, p, err
}

// promoteEtcd makes the new member a voter once it has caught up.
func (b *Boot) promoteEtcd(ctx context.Context, id uint64) {
	for pause(ctx, 2*time.Second) {
		wires, err := b.EtcdPeers()
		if err == nil {
			err = b.Etcd().Promote(ctx, id, wires)
		}

		if err == nil {
			b.machine.Note(EventEtcdJoin, "member %016x promoted", id)

			return
		}
	}
}

// checkEtcd keeps the service's health.
func (b *Boot) checkEtcd(ctx context.Context) {
	for interval := 500 * time.Millisecond; pause(ctx, interval); {
		err := b.Etcd().Healthy(ctx)

		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.Services.SetHealth("etcd", false, "Health check failed: "+err.Error())
		default:
			interval = 15 * time.Second

			b.Services.SetHealth("etcd", true, "Health check successful")
		}
	}
}

// Bootstrap founds a cluster on this node, which has no data of one: an empty one, or the one of the uploaded snapshot.
func (b *Boot) Bootstrap(fromSnapshot, skipHash bool) {
	b.etcd.mu.Lock()
	b.etcd.bootstrap, b.etcd.fromSnapshot, b.etcd.skipHash, b.etcd.stopped = true, fromSnapshot, skipHash, false
	b.etcd.mu.Unlock()

	how := "etcd founds a cluster"
	if fromSnapshot {
		how += " from a snapshot"
	}

	b.machine.Note(EventBootstrap, "%s", how)
	b.changed.Notify()
}

// EtcdLeft tells whether the member was stopped for good in this boot.
func (b *Boot) EtcdLeft() bool {
	b.etcd.mu.Lock()
	defer b.etcd.mu.Unlock()

	return b.etcd.stopped
}

// DropEtcd stops the member for the rest of the boot and removes its data.
func (b *Boot) DropEtcd() error {
	b.etcd.mu.Lock()
	b.etcd.stopped, b.etcd.bootstrap = true, false
	b.etcd.mu.Unlock()

	b.etcd.halt()
	b.Services.Set("etcd", ServiceFinished, "Service finished successfully")
	b.machine.Note(EventEtcdLeave, "the member has left and its data is removed")
	b.waitsFor("etcd", "")

	return os.RemoveAll(b.Etcd().DataDir)
}
