package cluster

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// Kind reads a type token such as kubernetes:apps/v1:Deployment. A kind ending in Patch is returned
// as it stands.
func Kind(token string) (schema.GroupVersionKind, error) {
	parts := strings.Split(token, ":")
	if len(parts) != 3 || parts[0] != "kubernetes" || parts[2] == "" {
		return schema.GroupVersionKind{}, fmt.Errorf(
			"unrecognized resource type: %q for this provider", token)
	}
	group, version, ok := strings.Cut(parts[1], "/")
	if !ok || strings.Contains(version, "/") {
		return schema.GroupVersionKind{}, fmt.Errorf(
			"apiVersion does not have both a group and a version: %q", parts[1])
	}
	if group == "core" {
		group = ""
	}
	return schema.GroupVersionKind{Group: group, Version: version, Kind: parts[2]}, nil
}

// clusterScoped lists the built-in kinds without a namespace, for when no API server can be asked.
var clusterScoped = map[string]bool{
	"APIService": true, "CertificateSigningRequest": true, "ClusterRole": true,
	"ClusterRoleBinding": true, "ClusterTrustBundle": true, "ComponentStatus": true,
	"CSIDriver": true, "CSINode": true, "CustomResourceDefinition": true, "DeviceClass": true,
	"FlowSchema": true, "IngressClass": true, "IPAddress": true,
	"MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true,
	"MutatingWebhookConfiguration": true, "Namespace": true, "Node": true,
	"PersistentVolume": true, "PriorityClass": true, "PriorityLevelConfiguration": true,
	"ResourceSlice": true, "RuntimeClass": true, "ServiceCIDR": true, "StorageClass": true,
	"StorageVersionMigration": true, "ValidatingAdmissionPolicy": true,
	"ValidatingAdmissionPolicyBinding": true, "ValidatingWebhookConfiguration": true,
	"VolumeAttachment": true, "VolumeAttributesClass": true,
}

// BuiltIn reports whether the kind belongs to Kubernetes itself rather than to a definition that
// somebody installed.
func BuiltIn(kind schema.GroupVersionKind) bool {
	return scheme.Scheme.Recognizes(kind) ||
		kind.Group == "apiextensions.k8s.io" || kind.Group == "apiregistration.k8s.io"
}

// Namespaced reports whether objects of the kind live in a namespace. A kind that nobody knows yet
// is taken as namespaced; the API server drops the namespace of a cluster-wide object.
func (c *Cluster) Namespaced(kind schema.GroupVersionKind) bool {
	if BuiltIn(kind) {
		return !clusterScoped[kind.Kind]
	}
	c.mutex.Lock()
	namespaced, planned := c.planned[kind.GroupKind()]
	c.mutex.Unlock()
	if planned {
		return namespaced
	}
	if c.Unreachable == "" {
		if mapping, err := c.mapping(kind); err == nil {
			return mapping.Scope.Name() == meta.RESTScopeNameNamespace
		}
	}
	return true
}

// Plan remembers the scope of a CustomResourceDefinition that will exist after this update, so that
// objects of its kind are previewed with the right one. Other objects are ignored.
func (c *Cluster) Plan(object *unstructured.Unstructured) {
	if object.GetKind() != "CustomResourceDefinition" {
		return
	}
	group, _, _ := unstructured.NestedString(object.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(object.Object, "spec", "names", "kind")
	scope, _, _ := unstructured.NestedString(object.Object, "spec", "scope")
	if group == "" || kind == "" || scope == "" {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.planned[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
}
