package release

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/downloader"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/registry"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// load finds a chart (a path, a repository's chart or an OCI reference), and updates its
// dependencies where the release asks for it. The version does not matter for a path.
func (p *Provider) load(configuration *action.Configuration, r *Release) (*chart.Chart, string, error) {
	if err := p.authenticate(configuration, r); err != nil {
		return nil, "", err
	}
	locator := action.NewInstall(configuration)
	name := chartReference(&locator.ChartPathOptions, r)
	if name == "" {
		return nil, "", fmt.Errorf("no chart is named")
	}
	path, err := locator.LocateChart(name, p.Settings)
	if err != nil {
		return nil, "", err
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, "", err
	}
	missing := action.CheckDependencies(loaded, loaded.Metadata.Dependencies)
	if missing == nil || loaded.Metadata.Dependencies == nil {
		return loaded, path, nil
	}
	if !r.DependencyUpdate {
		return nil, "", missing
	}
	manager := &downloader.Manager{
		Out:              io.Discard,
		ChartPath:        path,
		Keyring:          r.Keyring,
		Getters:          getter.All(p.Settings),
		RegistryClient:   configuration.RegistryClient,
		RepositoryConfig: p.Settings.RepositoryConfig,
		RepositoryCache:  p.Settings.RepositoryCache,
	}
	if err := manager.Update(); err != nil {
		return nil, "", err
	}
	loaded, err = loader.Load(path)
	return loaded, path, err
}

// authenticate logs in to an OCI registry for this one release: nothing is written to the user's
// credential store.
func (p *Provider) authenticate(configuration *action.Configuration, r *Release) error {
	opts := r.RepositoryOpts
	if opts == nil || opts.Username == "" || opts.Password == "" {
		return nil
	}
	client, err := registry.NewClient(
		registry.ClientOptEnableCache(true),
		registry.ClientOptCredentialsFile(p.Settings.RegistryConfig),
		registry.ClientOptBasicAuth(opts.Username, opts.Password),
	)
	if err != nil {
		return err
	}
	configuration.RegistryClient = client
	return nil
}

// chartReference fills the options for locating the chart and returns the name to look for.
func chartReference(options *action.ChartPathOptions, r *Release) string {
	options.Keyring = r.Keyring
	options.Verify = r.Verify
	options.Version = strings.TrimSpace(r.Version)
	if options.Version == "" && r.Devel {
		options.Version = ">0.0.0-0"
	}
	name := strings.TrimSpace(r.Chart)
	opts := r.RepositoryOpts
	if opts == nil {
		return name
	}
	options.CaFile = opts.CAFile
	options.CertFile = opts.CertFile
	options.KeyFile = opts.KeyFile
	options.Username = opts.Username
	options.Password = opts.Password
	if registry.IsOCI(name) {
		return name
	}
	if _, err := url.ParseRequestURI(opts.Repo); err == nil {
		options.RepoURL = opts.Repo
		return name
	}
	if opts.Repo != "" && !strings.Contains(name, "/") {
		return opts.Repo + "/" + name
	}
	return name
}

// plan tells the cluster which definitions the chart will install, so that objects of their kinds
// can be previewed. A chart that cannot be rendered without a cluster is no error here.
func (p *Provider) plan(loaded *chart.Chart, r *Release) {
	configuration, err := p.configuration(r.Namespace, quiet)
	if err != nil {
		return
	}
	render := action.NewInstall(configuration)
	render.ClientOnly = true
	render.DryRun = true
	render.IncludeCRDs = !r.SkipCrds
	render.KubeVersion = p.kubeVersion()
	render.ReleaseName = r.Name
	render.Namespace = r.Namespace
	rendered, err := render.Run(loaded, copyValues(r.Values))
	if err != nil || rendered == nil {
		return
	}
	for _, document := range manifests(rendered.Manifest) {
		object := map[string]any{}
		if yaml.Unmarshal([]byte(document), &object) == nil {
			p.Cluster.Plan(&unstructured.Unstructured{Object: object})
		}
	}
}

// kubeVersion is what charts are rendered for without a cluster: Helm's own default is too old for
// many of them.
func (p *Provider) kubeVersion() *chartutil.KubeVersion {
	for _, version := range []string{p.Cluster.Version, "v1.34.0"} {
		if parsed, err := chartutil.ParseKubeVersion(version); err == nil {
			return parsed
		}
	}
	return nil
}

func defaultKeyring() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".gnupg", "pubring.gpg")
}
