package talosapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/oxide-lab/node/internal/machine"
)

// client connects to etcd for a call that only control planes serve.
func (s *machineServer) client(ctx context.Context, name string, local bool) (*clientv3.Client, error) {
	if err := controlPlane(s.boot, name); err != nil {
		return nil, err
	}

	return s.boot.EtcdClient(ctx, local)
}

func (s *machineServer) EtcdMemberList(ctx context.Context, in *machineapi.EtcdMemberListRequest) (*machineapi.EtcdMemberListResponse, error) {
	client, err := s.client(ctx, "member list", in.GetQueryLocal())
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	list, err := client.MemberList(clientv3.WithRequireLeader(ctx))
	if err != nil {
		return nil, err
	}

	members := &machineapi.EtcdMembers{}

	for _, member := range list.Members {
		members.LegacyMembers = append(members.LegacyMembers, member.Name)
		members.Members = append(members.Members, &machineapi.EtcdMember{
			Id:         member.ID,
			Hostname:   member.Name,
			PeerUrls:   s.emulated(member.PeerURLs),
			ClientUrls: s.emulated(member.ClientURLs),
			IsLearner:  member.IsLearner,
		})
	}

	return &machineapi.EtcdMemberListResponse{Messages: []*machineapi.EtcdMembers{members}}, nil
}

// emulated shows the addresses of the emulated network instead of those on the wire.
func (s *machineServer) emulated(urls []string) []string {
	shown := make([]string, 0, len(urls))
	for _, url := range urls {
		shown = append(shown, s.boot.Env().Fabric.Emulated(url))
	}

	return shown
}

func (s *machineServer) EtcdRemoveMemberByID(ctx context.Context, in *machineapi.EtcdRemoveMemberByIDRequest) (*machineapi.EtcdRemoveMemberByIDResponse, error) {
	client, err := s.client(ctx, "etcd remove member", false)
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	if _, err := client.MemberRemove(clientv3.WithRequireLeader(ctx), in.MemberId); err != nil {
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil, status.Error(codes.NotFound, err.Error())
		}

		return nil, fmt.Errorf("failed to remove member: failed to remove member %d: %w", in.MemberId, err)
	}

	s.boot.Machine().Note(machine.EventEtcdRemove, "member %016x removed from the list", in.MemberId)

	return &machineapi.EtcdRemoveMemberByIDResponse{Messages: []*machineapi.EtcdRemoveMemberByID{{}}}, nil
}

func (s *machineServer) EtcdLeaveCluster(ctx context.Context, _ *machineapi.EtcdLeaveClusterRequest) (*machineapi.EtcdLeaveClusterResponse, error) {
	if err := controlPlane(s.boot, "etcd leave"); err != nil {
		return nil, err
	}

	if err := s.boot.LeaveEtcd(ctx); err != nil {
		return nil, fmt.Errorf("failed to leave cluster: %w", err)
	}

	return &machineapi.EtcdLeaveClusterResponse{Messages: []*machineapi.EtcdLeaveCluster{{}}}, nil
}

func (s *machineServer) EtcdForfeitLeadership(ctx context.Context, _ *machineapi.EtcdForfeitLeadershipRequest) (*machineapi.EtcdForfeitLeadershipResponse, error) {
	client, err := s.client(ctx, "etcd forfeit leadership", true)
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	reply := &machineapi.EtcdForfeitLeadership{}

	own, err := client.Status(ctx, s.boot.Etcd().ClientURL())
	if err != nil {
		return nil, fmt.Errorf("failed to forfeit leadership: %w", err)
	}

	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to forfeit leadership: failed to list etcd members: %w", err)
	}

	if len(list.Members) == 1 {
		return nil, errors.New("failed to forfeit leadership: cannot forfeit leadership, only one member")
	}

	if own.Leader == own.Header.MemberId {
		for _, member := range list.Members {
			if member.ID == own.Leader || member.IsLearner {
				continue
			}

			if _, err := client.MoveLeader(ctx, member.ID); err != nil {
				return nil, fmt.Errorf("failed to forfeit leadership: %w", err)
			}

			reply.Member = member.Name

			break
		}
	}

	return &machineapi.EtcdForfeitLeadershipResponse{Messages: []*machineapi.EtcdForfeitLeadership{reply}}, nil
}

func (s *machineServer) EtcdStatus(ctx context.Context, _ *emptypb.Empty) (*machineapi.EtcdStatusResponse, error) {
	client, err := s.client(ctx, "etcd status", true)
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	reply, err := client.Status(ctx, s.boot.Etcd().ClientURL())
	if err != nil {
		return nil, fmt.Errorf("failed to query etcd status: %w", err)
	}

	return &machineapi.EtcdStatusResponse{Messages: []*machineapi.EtcdStatus{{MemberStatus: &machineapi.EtcdMemberStatus{
		MemberId:         reply.Header.MemberId,
		ProtocolVersion:  reply.Version,
		StorageVersion:   reply.StorageVersion,
		DbSize:           reply.DbSize,
		DbSizeInUse:      reply.DbSizeInUse,
		Leader:           reply.Leader,
		RaftIndex:        reply.RaftIndex,
		RaftTerm:         reply.RaftTerm,
		RaftAppliedIndex: reply.RaftAppliedIndex,
		Errors:           reply.Errors,
		IsLearner:        reply.IsLearner,
	}}}}, nil
}

// snapshotChunk is the size of the messages of a snapshot stream.
const snapshotChunk = 1 << 20

func (s *machineServer) EtcdSnapshot(_ *machineapi.EtcdSnapshotRequest, stream machineapi.MachineService_EtcdSnapshotServer) error {
	client, err := s.client(stream.Context(), "etcd snapshot", true)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck

	reader, err := client.Snapshot(stream.Context())
	if err != nil {
		return fmt.Errorf("failed reading etcd snapshot: %w", err)
	}
	defer reader.Close() //nolint:errcheck

	buffer := make([]byte, snapshotChunk)

	for {
		n, err := reader.Read(buffer)
		if n > 0 {
			if err := stream.Send(&common.Data{Bytes: append([]byte{}, buffer[:n]...)}); err != nil {
				return err
			}
		}

		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return fmt.Errorf("failed reading etcd snapshot: %w", err)
		}
	}
}

func (s *machineServer) EtcdRecover(stream machineapi.MachineService_EtcdRecoverServer) error {
	if err := controlPlane(s.boot, "etcd recover"); err != nil {
		return err
	}

	path := s.boot.SnapshotFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}

	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("error creating etcd recovery snapshot: %w", err)
	}
	defer os.Remove(file.Name()) //nolint:errcheck // gone after a whole upload
	defer file.Close()           //nolint:errcheck

	for {
		data, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return err
		}

		if _, err := file.Write(data.Bytes); err != nil {
			return fmt.Errorf("error writing snapshot: %w", err)
		}
	}

	if err := errors.Join(file.Close(), os.Rename(file.Name(), path)); err != nil {
		return err
	}

	return stream.SendAndClose(&machineapi.EtcdRecoverResponse{Messages: []*machineapi.EtcdRecover{{}}})
}

func (s *machineServer) EtcdAlarmList(ctx context.Context, _ *emptypb.Empty) (*machineapi.EtcdAlarmListResponse, error) {
	client, err := s.client(ctx, "etcd alarm list", true)
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	list, err := client.AlarmList(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to list etcd alarms: %w", err)
	}

	alarm := &machineapi.EtcdAlarm{}
	for _, member := range list.Alarms {
		alarm.MemberAlarms = append(alarm.MemberAlarms, alarmProto(member))
	}

	return &machineapi.EtcdAlarmListResponse{Messages: []*machineapi.EtcdAlarm{alarm}}, nil
}

func alarmProto(alarm *etcdserverpb.AlarmMember) *machineapi.EtcdMemberAlarm {
	return &machineapi.EtcdMemberAlarm{MemberId: alarm.MemberID, Alarm: machineapi.EtcdMemberAlarm_AlarmType(alarm.Alarm)}
}

func (s *machineServer) EtcdDefragment(ctx context.Context, _ *emptypb.Empty) (*machineapi.EtcdDefragmentResponse, error) {
	client, err := s.client(ctx, "etcd defragment", true)
	if err != nil {
		return nil, err
	}
	defer client.Close() //nolint:errcheck

	if _, err := client.Defragment(ctx, s.boot.Etcd().ClientURL()); err != nil {
		return nil, fmt.Errorf("failed to defragment etcd: %w", err)
	}

	return &machineapi.EtcdDefragmentResponse{Messages: []*machineapi.EtcdDefragment{{}}}, nil
}
