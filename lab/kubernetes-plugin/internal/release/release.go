// Package release is the resource kubernetes:helm.sh/v3:Release: one Helm release in a cluster.
package release

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"

	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// defaultTimeoutSeconds bounds one install, upgrade or uninstall that is awaited.
const defaultTimeoutSeconds = 300

// Release holds the inputs of a release, and the outputs once it exists. The state of a resource has
// every field without a pointer, zero or not.
type Release struct {
	AllowNullValues          bool                `json:"allowNullValues,omitempty"`
	Atomic                   bool                `json:"atomic,omitempty"`
	Chart                    string              `json:"chart,omitempty"`
	CleanupOnFail            bool                `json:"cleanupOnFail,omitempty"`
	CreateNamespace          bool                `json:"createNamespace,omitempty"`
	DependencyUpdate         bool                `json:"dependencyUpdate,omitempty"`
	Description              string              `json:"description,omitempty"`
	Devel                    bool                `json:"devel,omitempty"`
	DisableCRDHooks          bool                `json:"disableCRDHooks,omitempty"`
	DisableOpenapiValidation bool                `json:"disableOpenapiValidation,omitempty"`
	DisableWebhooks          bool                `json:"disableWebhooks,omitempty"`
	ForceUpdate              bool                `json:"forceUpdate,omitempty"`
	Keyring                  string              `json:"keyring,omitempty"`
	Lint                     bool                `json:"lint,omitempty"`
	MaxHistory               *int                `json:"maxHistory,omitempty"`
	Name                     string              `json:"name,omitempty"`
	Namespace                string              `json:"namespace,omitempty"`
	Postrender               string              `json:"postrender,omitempty"`
	RecreatePods             bool                `json:"recreatePods,omitempty"`
	RenderSubchartNotes      bool                `json:"renderSubchartNotes,omitempty"`
	Replace                  bool                `json:"replace,omitempty"`
	RepositoryOpts           *RepositoryOpts     `json:"repositoryOpts,omitempty"`
	ResetValues              bool                `json:"resetValues,omitempty"`
	ResourceNames            map[string][]string `json:"resourceNames,omitempty"`
	ReuseValues              bool                `json:"reuseValues,omitempty"`
	SkipAwait                bool                `json:"skipAwait,omitempty"`
	SkipCrds                 bool                `json:"skipCrds,omitempty"`
	Status                   *Status             `json:"status,omitempty"`
	TakeOwnership            bool                `json:"takeOwnership,omitempty"`
	Timeout                  int                 `json:"timeout,omitempty"`
	Values                   map[string]any      `json:"values,omitempty"`
	Verify                   bool                `json:"verify,omitempty"`
	Version                  string              `json:"version,omitempty"`
	WaitForJobs              bool                `json:"waitForJobs,omitempty"`
}

// RepositoryOpts say where a chart comes from that is not a path.
type RepositoryOpts struct {
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	Password string `json:"password,omitempty"`
	Repo     string `json:"repo,omitempty"`
	Username string `json:"username,omitempty"`
}

// Status is what Helm recorded of the release.
type Status struct {
	AppVersion string `json:"appVersion,omitempty"`
	Chart      string `json:"chart,omitempty"`
	Name       string `json:"name,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Revision   *int   `json:"revision,omitempty"`
	Status     string `json:"status,omitempty"`
	Version    string `json:"version,omitempty"`
}

func (r *Release) id() string { return r.Namespace + "/" + r.Name }

func (r *Release) timeout() time.Duration {
	if r.Timeout == 0 {
		return defaultTimeoutSeconds * time.Second
	}
	return time.Duration(r.Timeout) * time.Second
}

// decode reads a release from inputs or state. Unknowns read as zero values. The files of
// valueYamlFiles are merged below the values, later ones over earlier ones.
func decode(properties resource.PropertyMap) (*Release, error) {
	files, err := fileValues(properties["valueYamlFiles"])
	if err != nil {
		return nil, err
	}
	plain := property.Known(properties)
	delete(plain, "valueYamlFiles")
	encoded, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("decoding failure: %w", err)
	}
	var release Release
	if err := json.Unmarshal(encoded, &release); err != nil {
		return nil, fmt.Errorf("decoding failure: %w", err)
	}
	release.Values = chartutil.MergeTables(release.Values, files)
	if release.Values == nil {
		release.Values = map[string]any{}
	}
	return &release, nil
}

func fileValues(files resource.PropertyValue) (map[string]any, error) {
	if files.IsSecret() {
		files = files.SecretValue().Element
	}
	merged := map[string]any{}
	if !files.IsArray() {
		return merged, nil
	}
	for _, file := range files.ArrayValue() {
		if file.IsSecret() {
			file = file.SecretValue().Element
		}
		if file.IsComputed() {
			continue
		}
		if !file.IsAsset() {
			return nil, fmt.Errorf("unsupported type for 'valueYamlFiles' arg: %s", file.TypeString())
		}
		contents, err := file.AssetValue().Bytes()
		if err != nil {
			return nil, err
		}
		values := map[string]any{}
		if err := yaml.Unmarshal(contents, &values); err != nil {
			return nil, err
		}
		merged = chartutil.MergeTables(values, merged)
	}
	return merged, nil
}

var inputNames = func() map[resource.PropertyKey]bool {
	names := map[resource.PropertyKey]bool{
		"checksum": true, "compat": true, "manifest": true, "valueYamlFiles": true,
	}
	for name := range resource.NewPropertyMap(Release{
		MaxHistory: new(int), RepositoryOpts: &RepositoryOpts{},
		ResourceNames: map[string][]string{}, Values: map[string]any{},
	}) {
		names[name] = true
	}
	return names
}()

// unknownInputs lists the inputs that a release does not have, sorted.
func unknownInputs(properties resource.PropertyMap) []string {
	var unknown []string
	for key := range properties {
		if !inputNames[key] && !strings.HasPrefix(string(key), "__") {
			unknown = append(unknown, string(key))
		}
	}
	sort.Strings(unknown)
	return unknown
}
