package object

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/utils/ptr"
)

// attempts bounds how often a create is tried while its namespace or its kind does not exist yet;
// the waits between them double from one second.
const attempts = 5

// request is one change of one object.
type request struct {
	urn          string
	inputs       *unstructured.Unstructured
	patch        bool
	fieldManager string
	dryRun       bool
}

func (r *request) dryRunOption() []string {
	if r.dryRun {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// create makes the object. Its namespace or definition may still be on their way, so those errors are
// tried again for half a minute.
func (p *Provider) create(r *request) (*unstructured.Unstructured, error) {
	wait := time.Second
	for attempt := 0; ; attempt++ {
		live, err := p.createOnce(r)
		switch {
		case err == nil:
			p.Engine.Progress(r.urn, "")
			return live, nil
		case apierrors.IsAlreadyExists(err):
			return nil, fmt.Errorf("%w\n\nThe resource already exists in the cluster. Import it, give the "+
				"resource an alias if it was renamed, patch it with a Patch resource, or set "+
				"upsertExistingObjects on the provider to take it over", err)
		case r.dryRun || attempt == attempts || !(apierrors.IsNotFound(err) || meta.IsNoMatchError(err)):
			return nil, err
		}
		p.Engine.Progress(r.urn, fmt.Sprintf("Retry #%d; creation failed: %v", attempt, err))
		select {
		case <-p.Context.Done():
			return nil, p.Context.Err()
		case <-time.After(wait):
			wait *= 2
		}
	}
}

func (p *Provider) createOnce(r *request) (*unstructured.Unstructured, error) {
	endpoint, err := p.Cluster.Resource(r.inputs)
	if err != nil {
		return nil, err
	}
	if p.ServerSideApply && (p.Upsert || r.patch) {
		return p.apply(endpoint, r, p.PatchForce || r.dryRun)
	}
	return endpoint.Create(p.Context, r.inputs, metav1.CreateOptions{
		FieldManager: creator, DryRun: r.dryRunOption(),
	})
}

func (p *Provider) apply(
	endpoint dynamic.ResourceInterface, r *request, force bool,
) (*unstructured.Unstructured, error) {
	manifest, err := json.Marshal(r.inputs.Object)
	if err != nil {
		return nil, err
	}
	force = force || annotated(r.inputs, annotationPatchForce)
	live, err := endpoint.Patch(p.Context, r.inputs.GetName(), types.ApplyPatchType, manifest,
		metav1.PatchOptions{FieldManager: r.fieldManager, Force: &force, DryRun: r.dryRunOption()})
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("server-side apply field conflict detected: the resource managed by field "+
			"manager %q had an apply conflict: %w; set the annotation %s or the provider's "+
			"enablePatchForce to take the fields over", r.fieldManager, err, annotationPatchForce)
	}
	return live, err
}

// update changes the live object to the inputs. oldInputs are only needed without server-side apply.
func (p *Provider) update(
	r *request, oldInputs *unstructured.Unstructured,
) (*unstructured.Unstructured, error) {
	endpoint, err := p.Cluster.Resource(r.inputs)
	if err != nil {
		return nil, err
	}
	live, err := endpoint.Get(p.Context, r.inputs.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	switch {
	case isDefinition(r.inputs):
		replacement := r.inputs.DeepCopy()
		replacement.SetResourceVersion(live.GetResourceVersion())
		return endpoint.Update(p.Context, replacement, metav1.UpdateOptions{
			FieldManager: r.fieldManager, DryRun: r.dryRunOption(),
		})
	case p.ServerSideApply:
		if !r.patch && !r.dryRun {
			if live, err = p.takeOver(endpoint, live, r.fieldManager); err != nil {
				return nil, err
			}
		}
		unmanaged := len(live.GetManagedFields()) == 0
		return p.apply(endpoint, r, p.PatchForce || unmanaged || (r.dryRun && createdByUs(live)))
	}
	patch, err := mergePatch(oldInputs.Object, r.inputs.Object)
	if err != nil {
		return nil, err
	}
	return endpoint.Patch(p.Context, r.inputs.GetName(), types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: r.fieldManager, DryRun: r.dryRunOption()})
}

// formerManagers own fields of objects that were made before server-side apply or with kubectl.
var formerManagers = sets.New(
	creator, "pulumi-resource-kubernetes", "kubectl", "before-first-apply",
)

// takeOver moves the fields of former managers to the resource's own one: otherwise a field that the
// inputs no longer set would stay.
func (p *Provider) takeOver(
	endpoint dynamic.ResourceInterface, live *unstructured.Unstructured, fieldManager string,
) (*unstructured.Unstructured, error) {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, formerManagers, fieldManager)
	if err != nil || patch == nil {
		return live, err
	}
	return endpoint.Patch(p.Context, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{})
}

func createdByUs(live *unstructured.Unstructured) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Operation == metav1.ManagedFieldsOperationUpdate && formerManagers.Has(entry.Manager) {
			return true
		}
	}
	return false
}

// remove deletes the object and waits until it is gone. What is gone already is no error.
func (p *Provider) remove(urn string, inputs, live *unstructured.Unstructured, within time.Duration) error {
	endpoint, err := p.Cluster.Resource(live)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	err = endpoint.Delete(p.Context, live.GetName(), metav1.DeleteOptions{
		PropagationPolicy: ptr.To(propagation(inputs)),
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if annotated(inputs, annotationSkipAwait) {
		return nil
	}
	start := time.Now()
	for {
		current, err := endpoint.Get(p.Context, live.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case current.GetUID() != live.GetUID() && live.GetUID() != "":
			return nil
		case time.Since(start) > within:
			return errNotGone
		}
		finalizers := current.GetFinalizers()
		if len(finalizers) > 0 && time.Since(start) > patience {
			p.Engine.Progress(urn, fmt.Sprintf("Waiting for finalizers %v", finalizers))
		}
		select {
		case <-p.Context.Done():
			return p.Context.Err()
		case <-time.After(pollInterval):
		}
	}
}

var errNotGone = errors.New("timed out waiting for the object to be deleted")

const (
	pollInterval = 300 * time.Millisecond
	// patience is how long a deletion may take before it is worth a message.
	patience = 3 * time.Second
)

func propagation(inputs *unstructured.Unstructured) metav1.DeletionPropagation {
	switch inputs.GetAnnotations()[annotationDeletion] {
	case "orphan", "Orphan":
		return metav1.DeletePropagationOrphan
	case "background", "Background":
		return metav1.DeletePropagationBackground
	}
	return metav1.DeletePropagationForeground
}

// relinquish gives up the fields that a patch resource set.
func (p *Provider) relinquish(live *unstructured.Unstructured, fieldManager string) error {
	endpoint, err := p.Cluster.Resource(live)
	if err != nil {
		return err
	}
	empty := &unstructured.Unstructured{}
	empty.SetGroupVersionKind(live.GroupVersionKind())
	empty.SetName(live.GetName())
	empty.SetNamespace(live.GetNamespace())
	_, err = p.apply(endpoint, &request{inputs: empty, fieldManager: fieldManager}, true)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
