package talosapi

import (
	"context"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const roleKey = constants.APIAuthzRoleMetadataKey

var errNotAuthorized = status.Error(codes.PermissionDenied, "not authorized")

// callerRoles are the roles in the organization of the client's certificate; reader without one in maintenance mode.
func callerRoles(ctx context.Context, maintenance bool) ([]string, error) {
	if maintenance {
		return []string{string(role.Reader)}, nil
	}

	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil, errNotAuthorized
	}

	info, ok := caller.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil, errNotAuthorized
	}

	roles, _ := role.Parse(info.State.PeerCertificates[0].Subject.Organization)

	if roles.Includes(role.Impersonator) {
		if md, _ := metadata.FromIncomingContext(ctx); len(md[roleKey]) > 0 {
			return md[roleKey], nil
		}
	}

	return roles.Strings(), nil
}

func rolesOf(ctx context.Context) role.Set {
	md, _ := metadata.FromIncomingContext(ctx)
	roles, _ := role.Parse(md[roleKey])

	return roles
}

var (
	everyone  = role.MakeSet(role.Admin, role.Operator, role.Reader)
	operators = role.MakeSet(role.Admin, role.Operator)
	backups   = role.MakeSet(role.Admin, role.Operator, role.Reader, role.EtcdBackup)
)

// allowed are the roles of methods that not only admins may call, as in Talos 1.13.
var allowed = func() map[string]role.Set {
	rules := map[string]role.Set{}

	for _, name := range strings.Fields("CPUInfo CPUFreqStats Containers DiskStats DiskUsage Dmesg Events Hostname ImageList List LoadAvg " +
		"Logs LogsContainers Memory Mounts NetworkDeviceStats Netstat Processes ServiceList Stats SystemStat Version") {
		rules["/machine.MachineService/"+name] = everyone
	}

	for _, name := range strings.Fields("EtcdAlarmDisarm EtcdDefragment ImagePull PacketCapture Reboot Restart ServiceRestart ServiceStart " +
		"ServiceStop Shutdown") {
		rules["/machine.MachineService/"+name] = operators
	}

	for _, name := range strings.Fields("EtcdAlarmList EtcdMemberList EtcdStatus") {
		rules["/machine.MachineService/"+name] = backups
	}

	rules["/machine.MachineService/EtcdSnapshot"] = role.MakeSet(role.Admin, role.Operator, role.EtcdBackup)
	// For maintenance mode only; the handler checks that.
	rules["/machine.MachineService/ApplyConfiguration"] = role.MakeSet(role.Admin, role.Reader)
	rules["/machine.ImageService/List"] = everyone
	rules["/machine.ImageService/Pull"] = operators
	rules["/machine.ImageService/Verify"] = everyone
	rules["/storage.StorageService/Disks"] = everyone
	rules["/cluster.ClusterService/HealthCheck"] = everyone
	rules["/inspect.InspectService/ControllerRuntimeDependencies"] = everyone
	rules["/time.TimeService/Time"] = everyone
	rules["/time.TimeService/TimeCheck"] = everyone

	for _, name := range strings.Fields("Get List Watch") {
		rules["/cosi.resource.State/"+name] = everyone
	}

	return rules
}()

func authorize(ctx context.Context, method string) error {
	permitted, listed := allowed[method]
	if !listed {
		permitted = role.MakeSet(role.Admin)
	}

	if !permitted.IncludesAny(rolesOf(ctx)) {
		return errNotAuthorized
	}

	return nil
}

func authorizeUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := authorize(ctx, info.FullMethod); err != nil {
		return nil, err
	}

	return handler(ctx, request)
}

func authorizeStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := authorize(stream.Context(), info.FullMethod); err != nil {
		return err
	}

	return handler(server, stream)
}

// accessPolicy keeps secrets from those who are not admins, and everybody from writing.
func accessPolicy(ctx context.Context, access state.Access) error {
	if !access.Verb.Readonly() {
		return status.Error(codes.PermissionDenied, "write access is not allowed")
	}

	sensitive := access.ResourceNamespace == secrets.NamespaceName || sensitiveTypes[access.ResourceType]
	if sensitive && !rolesOf(ctx).Includes(role.Admin) {
		return errNotAuthorized
	}

	return nil
}

var sensitiveTypes = map[resource.Type]bool{config.MachineConfigType: true}
