package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oxide-lab/node/internal/fabric"
)

// leaveTimeout bounds the retries of a member that cannot leave yet.
const leaveTimeout = 5 * time.Minute

// refusalDelay is how long a client takes to give up on an etcd that is not there.
const refusalDelay = 2 * time.Second

// EtcdClient connects to the node's own etcd, and unless local is set to those of the other control planes too.
func (b *Boot) EtcdClient(ctx context.Context, local bool) (*clientv3.Client, error) {
	var wires []string

	if b.EtcdRunning() {
		wires = append(wires, b.Wire())
	}

	if !local {
		peers, _ := b.EtcdPeers() //nolint:errcheck // without peers the own member is left
		wires = append(wires, peers...)
	}

	if len(wires) == 0 {
		pause(ctx, refusalDelay)

		address := "127.0.0.1"
		if advertised, err := b.etcdAddress(); err == nil && !local {
			address = advertised.String()
		}

		return nil, status.Errorf(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp %s: connect: connection refused"`,
			fabric.JoinPort(address, fabric.PortEtcd))
	}

	return b.Etcd().Client(ctx, wires...)
}

// LocalMember is the id of the node's own member.
func (b *Boot) LocalMember(ctx context.Context) (uint64, error) {
	client, err := b.EtcdClient(ctx, true)
	if err != nil {
		return 0, err
	}
	defer client.Close() //nolint:errcheck

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	reply, err := client.Status(ctx, b.Etcd().ClientURL())
	if err != nil {
		return 0, err
	}

	return reply.Header.MemberId, nil
}

// LeaveEtcd removes the node's member from the cluster, stops etcd and deletes its data. etcd itself refuses it where
// quorum would be lost, and so for the last member.
func (b *Boot) LeaveEtcd(ctx context.Context) error {
	if !b.Etcd().HasData() {
		return nil
	}

	id, err := b.LocalMember(ctx)
	if err != nil {
		return fmt.Errorf("failed to get local member ID: %w", err)
	}

	client, err := b.EtcdClient(ctx, false)
	if err != nil {
		return fmt.Errorf("failed to create etcd client: %w", err)
	}
	defer client.Close() //nolint:errcheck

	deadline := time.Now().Add(leaveTimeout)

	for {
		attempt, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), 30*time.Second)
		_, err = client.MemberRemove(attempt, id)

		cancel()

		transient := errors.Is(err, rpctypes.ErrUnhealthy) || errors.Is(err, rpctypes.ErrStopped)
		if !transient || time.Now().After(deadline) || !pause(ctx, 5*time.Second) {
			break
		}
	}

	// A member that has just removed itself may stop before it answers.
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) && !errors.Is(err, rpctypes.ErrStopped) {
		return fmt.Errorf("failed to remove member %d: %w", id, err)
	}

	return b.DropEtcd()
}
