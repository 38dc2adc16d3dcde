package release

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/oxide-lab/kubernetes-plugin/internal/failure"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Create installs the release. When its resources do not become ready in time the release is
// recorded as incomplete, and the next update upgrades it.
func (p *Provider) Create(_ context.Context, request *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	inputs, err := property.Decode("resource inputs", request.GetProperties())
	if err != nil {
		return nil, err
	}
	release, err := decode(inputs)
	if err != nil {
		return nil, err
	}
	id := ""
	var incomplete *failedError
	if !request.GetPreview() {
		if p.Cluster.Unreachable != "" {
			return nil, fmt.Errorf(
				"can't create Helm Release with unreachable cluster: %s", p.Cluster.Unreachable)
		}
		id = release.id()
		err := p.install(request.GetUrn(), release)
		p.Engine.Progress(request.GetUrn(), "")
		if err != nil && !errors.As(err, &incomplete) {
			return nil, err
		}
	}
	state, err := p.state(inputs, release, request.GetPreview())
	if err != nil {
		return nil, err
	}
	if incomplete != nil {
		return nil, failure.Incomplete(id, fmt.Errorf(
			"Helm release %q was created, but failed to initialize completely. "+
				"Use Helm CLI to investigate: %w", id, incomplete), state, nil)
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: state}, nil
}

// Update upgrades the release to a new revision.
func (p *Provider) Update(_ context.Context, request *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	olds, err := property.Decode("old state", request.GetOlds())
	if err != nil {
		return nil, err
	}
	inputs, err := property.Decode("resource inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	old, err := decode(olds)
	if err != nil {
		return nil, err
	}
	release, err := decode(inputs)
	if err != nil {
		return nil, err
	}
	var incomplete *failedError
	if !request.GetPreview() {
		if p.Cluster.Unreachable != "" {
			return nil, fmt.Errorf(
				"can't update Helm Release with unreachable cluster: %s", p.Cluster.Unreachable)
		}
		err := p.upgrade(request.GetUrn(), release, old.Namespace)
		p.Engine.Progress(request.GetUrn(), "")
		if err != nil && !errors.As(err, &incomplete) {
			return nil, err
		}
	}
	state, err := p.state(inputs, release, request.GetPreview())
	if err != nil {
		return nil, err
	}
	if incomplete != nil {
		return nil, failure.Incomplete(release.id(), fmt.Errorf(
			"Helm release %q failed to initialize completely. Use Helm CLI to investigate: %w",
			release.id(), incomplete), state, nil)
	}
	return &pulumirpc.UpdateResponse{Properties: state}, nil
}

// Delete uninstalls the release. It fails when the cluster is unreachable, whatever deleteUnreachable
// says: that option is about plain objects.
func (p *Provider) Delete(_ context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if p.Cluster.Unreachable != "" {
		return nil, fmt.Errorf(
			"can't delete Helm Release with unreachable cluster. Reason: %q", p.Cluster.Unreachable)
	}
	olds, err := property.Decode("old state", request.GetProperties())
	if err != nil {
		return nil, err
	}
	release, err := decode(olds)
	if err != nil {
		return nil, err
	}
	err = p.uninstall(request.GetUrn(), release)
	p.Engine.Progress(request.GetUrn(), "")
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// Read looks the release up in Helm's storage; a release that Helm does not know is gone. Without old
// state it is an import, and the id is "namespace/name".
func (p *Provider) Read(_ context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	olds, err := property.Decode("old state", request.GetProperties())
	if err != nil {
		return nil, err
	}
	release, err := decode(olds)
	if err != nil {
		return nil, err
	}
	namespace, name := release.Namespace, release.Name
	if len(olds) == 0 {
		namespace, name = splitID(request.GetId())
	}
	configuration, err := p.configuration(namespace, quiet)
	if err != nil {
		return nil, err
	}
	stored, err := find(configuration, name)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return &pulumirpc.ReadResponse{}, nil
	}
	if err := describe(release, stored); err != nil {
		return nil, err
	}
	inputs, _ := parseState(olds)
	if inputs == nil {
		release.Chart = localChart(stored.Chart.Metadata.Name, stored.Chart.Metadata.Version)
		inputs = resource.NewPropertyMap(release)
		delete(inputs, "resourceNames")
		delete(inputs, "status")
		p.setDefaults(inputs)
	}
	state, err := p.state(inputs, release, false)
	if err != nil {
		return nil, err
	}
	encoded, err := property.Encode("inputs", inputs, p.KeepSecrets)
	if err != nil {
		return nil, err
	}
	id := request.GetId()
	if id == "" {
		id = release.id()
	}
	return &pulumirpc.ReadResponse{Id: id, Properties: state, Inputs: encoded}, nil
}

func splitID(id string) (namespace, name string) {
	if namespace, name, ok := strings.Cut(id, "/"); ok {
		return namespace, name
	}
	return "", id
}

// localChart finds the chart of an imported release beside the program. Helm does not record where a
// chart came from, so the bare name is the fallback.
func localChart(name, version string) string {
	versioned := name + "-" + version
	for _, candidate := range []string{versioned, versioned + ".tgz", name, name + ".tgz"} {
		if _, err := loader.Load(candidate); err == nil {
			return candidate
		}
	}
	return name
}
