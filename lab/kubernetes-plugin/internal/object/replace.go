package object

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// immutable lists, by kind, what Kubernetes does not let change in place.
var immutable = map[schema.GroupKind][]string{
	{Group: "apps", Kind: "DaemonSet"}:  {".spec.selector"},
	{Group: "apps", Kind: "Deployment"}: {".spec.selector"},
	{Group: "apps", Kind: "StatefulSet"}: {
		".spec.podManagementPolicy", ".spec.revisionHistoryLimit", ".spec.selector",
		".spec.serviceName", ".spec.volumeClaimTemplates",
	},
	{Group: "batch", Kind: "Job"}: {
		".spec.completions", ".spec.parallelism", ".spec.selector", ".spec.template",
	},
	{Kind: "PersistentVolume"}: {
		".spec.csi", ".spec.hostPath", ".spec.local",
		".spec.awsElasticBlockStore", ".spec.azureDisk", ".spec.azureFile", ".spec.cephfs",
		".spec.cinder", ".spec.fc", ".spec.flexVolume", ".spec.flocker", ".spec.gcePersistentDisk",
		".spec.glusterfs", ".spec.iscsi", ".spec.nfs", ".spec.photonPersistentDisk",
		".spec.portworxVolume", ".spec.quobyte", ".spec.rbd", ".spec.scaleIO", ".spec.storageos",
		".spec.vsphereVolume",
	},
	{Kind: "PersistentVolumeClaim"}: {
		".spec.accessModes", ".spec.selector", ".spec.storageClassName", ".spec.volumeName",
	},
	{Kind: "Pod"}: append(
		append([]string{
			".spec.affinity", ".spec.automountServiceAccountToken", ".spec.dnsConfig",
			".spec.dnsPolicy", ".spec.enableServiceLinks", ".spec.hostAliases", ".spec.hostIPC",
			".spec.hostNetwork", ".spec.hostPID", ".spec.hostname", ".spec.imagePullSecrets",
			".spec.nodeName", ".spec.nodeSelector", ".spec.overhead", ".spec.preemptionPolicy",
			".spec.priority", ".spec.priorityClassName", ".spec.readinessGates",
			".spec.restartPolicy", ".spec.runtimeClassName", ".spec.schedulerName",
			".spec.securityContext", ".spec.serviceAccount", ".spec.serviceAccountName",
			".spec.shareProcessNamespace", ".spec.subdomain", ".spec.terminationGracePeriodSeconds",
			".spec.volumes",
		}, containerFields(".spec.containers[*]")...),
		containerFields(".spec.initContainers[*]")...),
	{Kind: "ResourceQuota"}: {".spec.scopes"},
	{Kind: "Secret"}:        {".type"},
	{Kind: "Service"}:       {".spec.clusterIP"},
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: {".roleRef"},
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        {".roleRef"},
	{Group: "storage.k8s.io", Kind: "StorageClass"}:                  {".parameters", ".provisioner"},
}

func containerFields(container string) []string {
	var paths []string
	for _, field := range []string{
		"args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports",
		"readinessProbe", "resources", "securityContext", "stdin", "stdinOnce",
		"terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices",
		"volumeMounts", "workingDir",
	} {
		paths = append(paths, container+"."+field)
	}
	return paths
}

// replacedBy lists the paths whose change replaces the object. Data of a ConfigMap or Secret is among
// them, so that what uses an auto-named one is rolled, unless the provider allows it to be mutated.
func (p *Provider) replacedBy(object *unstructured.Unstructured) []string {
	paths := []string{".metadata.name", ".metadata.namespace"}
	fixed, _, _ := unstructured.NestedBool(object.Object, "immutable")
	switch {
	case isSecret(object) && (!p.MutableSecrets || fixed):
		return append(paths, ".type", ".stringData", ".data")
	case isConfigMap(object) && (!p.MutableConfigMaps || fixed):
		return append(paths, ".binaryData", ".data")
	}
	return append(paths, immutable[object.GroupVersionKind().GroupKind()]...)
}
