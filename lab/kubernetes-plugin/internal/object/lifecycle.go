package object

import (
	"context"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/failure"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Create makes the object and waits until it is ready. A preview asks the API server for a dry run
// where it can.
func (p *Provider) Create(_ context.Context, call *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	urn := resource.URN(call.GetUrn())
	if !call.GetPreview() && p.Cluster.Unreachable != "" {
		return nil, &cluster.UnreachableError{Reason: p.Cluster.Unreachable}
	}
	given, err := property.Decode("resource inputs", call.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs := manifest(given)
	asGiven := &pulumirpc.CreateResponse{Properties: call.GetProperties()}
	if call.GetPreview() && (!p.ServerSideApply || isPatch(urn, inputs) || !p.canDryRun(inputs)) {
		return asGiven, nil
	}
	r := &request{
		urn: call.GetUrn(), inputs: inputs, patch: isPatch(urn, inputs),
		fieldManager: p.fieldManager(nil, inputs), dryRun: call.GetPreview(),
	}
	live, err := p.create(r)
	if err != nil {
		if r.dryRun && (apierrors.IsForbidden(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)) {
			return asGiven, nil
		}
		if meta.IsNoMatchError(err) {
			return nil, fmt.Errorf("creation of resource %q with kind %s failed because the Kubernetes API "+
				"server reported that the apiVersion for this resource does not exist. Verify that any "+
				"required CRDs have been created: %w",
				urn, inputs.GetAPIVersion()+"/"+inputs.GetKind(), err)
		}
		return nil, fmt.Errorf(
			"resource %q was not successfully created by the Kubernetes API server: %w", urn, err)
	}
	var notReady error
	if r.dryRun {
		unstructured.RemoveNestedField(live.Object, "status")
	} else {
		live, notReady = p.awaitReady(r, live, timeout(call.GetTimeout(), inputs))
		if isDefinition(inputs) {
			p.Cluster.Forget()
		}
	}
	state, err := p.checkpoint(inputs, live, given, inputs.GetAPIVersion(), r.fieldManager)
	if err != nil {
		return nil, err
	}
	if notReady != nil {
		return nil, failure.Incomplete(identity(live), fmt.Errorf("resource %q was successfully created, but "+
			"the Kubernetes API server reported that it failed to fully initialize or become live: %w",
			urn, notReady), state, nil)
	}
	if r.dryRun {
		return &pulumirpc.CreateResponse{Properties: state}, nil
	}
	return &pulumirpc.CreateResponse{Id: identity(live), Properties: state}, nil
}

func (p *Provider) canDryRun(inputs *unstructured.Unstructured) bool {
	return !property.HasUnknowns(inputs.Object) && p.Cluster.Knows(inputs.GroupVersionKind())
}

// Update applies the inputs to the live object and waits until it is ready.
func (p *Provider) Update(_ context.Context, call *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	urn := resource.URN(call.GetUrn())
	if !call.GetPreview() && p.Cluster.Unreachable != "" {
		return nil, &cluster.UnreachableError{Reason: p.Cluster.Unreachable}
	}
	olds, err := property.Decode("old state", call.GetOlds())
	if err != nil {
		return nil, err
	}
	given, err := property.Decode("resource inputs", call.GetNews())
	if err != nil {
		return nil, err
	}
	inputs := normalize(manifest(given))
	if call.GetPreview() && !p.canDryRun(inputs) {
		return &pulumirpc.UpdateResponse{Properties: call.GetNews()}, nil
	}
	oldInputs, oldLive := parseCheckpoint(olds)
	r := &request{
		urn: call.GetUrn(), inputs: inputs, patch: isPatch(urn, inputs),
		fieldManager: p.fieldManager(olds, inputs), dryRun: call.GetPreview(),
	}
	live, problem := p.update(r, normalize(oldInputs))
	switch {
	case problem == nil && r.dryRun:
	case problem == nil:
		live, problem = p.awaitReady(r, live, timeout(call.GetTimeout(), inputs))
	case r.dryRun && apierrors.IsForbidden(problem):
		return &pulumirpc.UpdateResponse{Properties: call.GetNews()}, nil
	default:
		current, err := p.current(oldLive)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("update of resource %q failed: %w", urn, problem),
				fmt.Errorf("unable to get cluster state: %w", err))
		}
		live = current
	}
	state, err := p.checkpoint(inputs, live, given, initialAPIVersion(olds, oldInputs), r.fieldManager)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		return nil, failure.Incomplete(identity(live), fmt.Errorf("the Kubernetes API server reported that "+
			"%q failed to fully initialize or become live: %w", identity(live), problem), state, nil)
	}
	return &pulumirpc.UpdateResponse{Properties: state}, nil
}

func (p *Provider) current(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	endpoint, err := p.Cluster.Resource(object)
	if err != nil {
		return nil, err
	}
	return endpoint.Get(p.Context, object.GetName(), metav1.GetOptions{})
}

// Delete removes the object; a patch resource gives up its fields instead.
func (p *Provider) Delete(_ context.Context, call *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	urn := resource.URN(call.GetUrn())
	if p.Cluster.Unreachable != "" {
		p.Engine.Warn(call.GetUrn(), "configured Kubernetes cluster is unreachable: "+p.Cluster.Unreachable)
		if p.DeleteUnreachable {
			p.Engine.Info(call.GetUrn(), "configured Kubernetes cluster is unreachable and the "+
				"`deleteUnreachable` option is enabled. Deleting the unreachable resource from Pulumi state")
			return &emptypb.Empty{}, nil
		}
		return nil, errors.New("configured Kubernetes cluster is unreachable. If the cluster was deleted, you " +
			"can remove this resource from Pulumi state by rerunning the operation with the " +
			"PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\"")
	}
	olds, err := property.Decode("old state", call.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs, live := parseCheckpoint(olds)
	if isPatch(urn, inputs) {
		return &emptypb.Empty{}, p.relinquish(live, p.fieldManager(olds, inputs))
	}
	err = p.remove(call.GetUrn(), inputs, live, timeout(call.GetTimeout(), inputs))
	p.Engine.Progress(call.GetUrn(), "")
	if errors.Is(err, errNotGone) {
		state, encodeErr := p.checkpoint(inputs, live, olds,
			initialAPIVersion(olds, inputs), p.fieldManager(olds, inputs))
		if encodeErr != nil {
			return nil, encodeErr
		}
		return nil, failure.Incomplete(identity(live), err, state, nil)
	}
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}
