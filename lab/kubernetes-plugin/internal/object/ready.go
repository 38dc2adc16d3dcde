package object

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oxide-lab/kubernetes-plugin/internal/await"
)

// awaitReady waits until an object of a kind that has a notion of readiness is ready, and gives the
// last seen object even when it is not.
func (p *Provider) awaitReady(
	r *request, live *unstructured.Unstructured, within time.Duration,
) (*unstructured.Unstructured, error) {
	if r.patch || annotated(r.inputs, annotationSkipAwait) {
		return live, nil
	}
	isReady, err := await.For(live, await.Cluster{
		List: func(kind schema.GroupVersionKind, namespace string, selector string) (
			[]unstructured.Unstructured, error,
		) {
			probe := &unstructured.Unstructured{}
			probe.SetGroupVersionKind(kind)
			probe.SetNamespace(namespace)
			endpoint, err := p.Cluster.Resource(probe)
			if err != nil {
				return nil, err
			}
			list, err := endpoint.List(p.Context, metav1.ListOptions{LabelSelector: selector})
			if err != nil {
				return nil, err
			}
			return list.Items, nil
		},
	})
	if err != nil || isReady == nil {
		return live, err
	}
	endpoint, err := p.Cluster.Resource(live)
	if err != nil {
		return live, err
	}
	defer p.Engine.Progress(r.urn, "")
	deadline := time.Now().Add(within)
	for {
		reason, err := isReady(live)
		if err != nil {
			return live, err
		}
		if reason == "" {
			return live, nil
		}
		p.Engine.Progress(r.urn, reason)
		if time.Now().After(deadline) {
			return live, fmt.Errorf("%q timed out waiting to be Ready: %s", live.GetName(), reason)
		}
		select {
		case <-p.Context.Done():
			return live, fmt.Errorf("operation was cancelled for %q: %s", live.GetName(), reason)
		case <-time.After(pollInterval):
		}
		current, err := endpoint.Get(p.Context, live.GetName(), metav1.GetOptions{})
		if err != nil {
			return live, err
		}
		live = current
	}
}
