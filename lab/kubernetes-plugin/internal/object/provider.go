// Package object is any single Kubernetes object as a resource, by the kind in its type token.
package object

import (
	"context"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/host"
)

// Provider creates, changes and removes Kubernetes objects.
type Provider struct {
	Cluster *cluster.Cluster
	Engine  *host.Engine
	// Context ends when the engine cancels; operations under way then fail.
	Context context.Context
	// KeepSecrets is whether the engine accepts secrets.
	KeepSecrets bool
	// ServerSideApply is off only where the user asked for client-side apply.
	ServerSideApply bool
	// PatchForce takes over fields that somebody else manages.
	PatchForce bool
	// Upsert lets a create adopt an existing object.
	Upsert bool
	// MutableConfigMaps and MutableSecrets update data in place instead of replacing the object.
	MutableConfigMaps, MutableSecrets bool
	// DeleteUnreachable forgets objects of an unreachable cluster instead of failing.
	DeleteUnreachable bool
}

const (
	annotationAutonamed    = "pulumi.com/autonamed"
	annotationDeletion     = "pulumi.com/deletionPropagationPolicy"
	annotationFieldManager = "pulumi.com/patchFieldManager"
	annotationPatchForce   = "pulumi.com/patchForce"
	annotationSkipAwait    = "pulumi.com/skipAwait"
	annotationTimeout      = "pulumi.com/timeoutSeconds"
)

// defaultTimeout bounds how long an object may take to become ready or to go away.
const defaultTimeout = 10 * time.Minute

// creator owns the fields of an object at its creation. The first update hands them over to the
// object's own field manager.
const creator = "pulumi-kubernetes"

// isPatch reports whether the resource only patches an object that somebody else owns.
func isPatch(urn resource.URN, object *unstructured.Unstructured) bool {
	return string(urn.Type().Name()) == object.GetKind()+"Patch"
}

func annotated(object *unstructured.Unstructured, key string) bool {
	return object.GetAnnotations()[key] == "true"
}

// timeout is the resource's custom timeout, else the annotation's, else the default.
func timeout(seconds float64, object *unstructured.Unstructured) time.Duration {
	if seconds > 0 {
		return time.Duration(seconds * float64(time.Second))
	}
	if given, err := time.ParseDuration(object.GetAnnotations()[annotationTimeout] + "s"); err == nil {
		return given
	}
	return defaultTimeout
}

// identity is "namespace/name", or the bare name of an object without a namespace.
func identity(object *unstructured.Unstructured) string {
	if namespace := object.GetNamespace(); namespace != "" {
		return namespace + "/" + object.GetName()
	}
	return object.GetName()
}

func splitIdentity(id string) (namespace, name string) {
	if namespace, name, ok := strings.Cut(id, "/"); ok {
		return namespace, name
	}
	return "", id
}
