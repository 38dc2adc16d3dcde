// Package manifests creates the objects that Talos puts into a new Kubernetes cluster.
package manifests

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/template"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

//go:embed cluster.yaml
var clusterYAML string

// Render returns the bootstrap manifests and the config's inline manifests as one YAML stream.
func Render(cluster config.ClusterConfig) (string, error) {
	dns, err := cluster.Network().DNSServiceIPs()
	if err != nil {
		return "", err
	}

	values := map[string]any{
		"TokenID":      cluster.Token().ID(),
		"TokenSecret":  cluster.Token().Secret(),
		"Endpoint":     cluster.Endpoint().String(),
		"DNSDomain":    cluster.Network().DNSDomain(),
		"DNSServiceIP": dns[0].String(),
		"CoreDNSImage": "",
		"ProxyImage":   "",
		"Flannel":      cluster.Network().CNI().Name() == "flannel",
	}

	if cluster.CoreDNS().Enabled() {
		values["CoreDNSImage"] = cluster.CoreDNS().Image()
	}

	if cluster.Proxy().Enabled() {
		values["ProxyImage"] = cluster.Proxy().Image()
	}

	parsed, err := template.New("cluster").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(clusterYAML)
	if err != nil {
		return "", err
	}

	var out strings.Builder
	if err := parsed.Execute(&out, values); err != nil {
		return "", err
	}

	for _, inline := range cluster.InlineManifests() {
		out.WriteString("\n---\n" + inline.Contents())
	}

	return out.String(), nil
}

// Apply creates what is missing; what exists is left alone, as Talos does. It goes on after an error and returns all.
func Apply(ctx context.Context, client *rest.Config, stream string) error {
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(client)
	if err != nil {
		return err
	}

	groups, err := restmapper.GetAPIGroupResources(discoveryClient)
	if err != nil {
		return err
	}

	objects, err := dynamic.NewForConfig(client)
	if err != nil {
		return err
	}

	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(stream), 4096)

	var failures []error

	for {
		var object unstructured.Unstructured

		if err := decoder.Decode(&object); err != nil {
			if errors.Is(err, io.EOF) {
				return errors.Join(failures...)
			}

			return errors.Join(append(failures, err)...)
		}

		if len(object.Object) == 0 {
			continue
		}

		if err := create(ctx, objects, mapper, &object); err != nil {
			failures = append(failures, fmt.Errorf("%s %q: %w", object.GetKind(), object.GetName(), err))
		}
	}
}

func create(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()

	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}

	var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)

	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace("default")
		}

		resource = client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}

	// A create alone would not do: that of a Service with a fixed address fails with another error when it exists.
	if _, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return err
	}

	_, err = resource.Create(ctx, object, metav1.CreateOptions{FieldManager: "talos"})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}

	return err
}
