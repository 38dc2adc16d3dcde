package release

import (
	"errors"
	"fmt"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/postrender"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// failedError says that Helm stored the release, but its resources did not become ready.
type failedError struct {
	release *Release
	cause   error
}

func (e *failedError) Error() string {
	return fmt.Sprintf("failed to become available within allocated timeout. Error: Helm Release %s: %v",
		e.release.id(), e.cause)
}

func (e *failedError) Unwrap() error { return e.cause }

// install runs helm install and fills in the outputs. A failedError means that Helm keeps the
// release with the status failed.
func (p *Provider) install(urn string, release *Release) error {
	configuration, err := p.configuration(release.Namespace, p.progress(urn))
	if err != nil {
		return err
	}
	loaded, _, err := p.load(configuration, release)
	if err != nil {
		return err
	}
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	install := action.NewInstall(configuration)
	chartReference(&install.ChartPathOptions, release)
	install.Atomic = release.Atomic
	install.CreateNamespace = release.CreateNamespace
	install.DependencyUpdate = release.DependencyUpdate
	install.Description = release.Description
	install.Devel = release.Devel
	install.DisableHooks = release.DisableWebhooks
	install.DisableOpenAPIValidation = release.DisableOpenapiValidation
	install.Namespace = release.Namespace
	install.ReleaseName = release.Name
	install.Replace = release.Replace
	install.SkipCRDs = release.SkipCrds
	install.SubNotes = release.RenderSubchartNotes
	install.TakeOwnership = release.TakeOwnership
	install.Timeout = release.timeout()
	install.Wait = !release.SkipAwait
	install.WaitForJobs = !release.SkipAwait && release.WaitForJobs
	if install.PostRenderer, err = postRenderer(release); err != nil {
		return err
	}
	stored, failure := install.RunWithContext(p.Context, loaded, copyValues(release.Values))
	if failure == nil {
		return describe(release, stored)
	}
	if stored == nil {
		return failure
	}
	// An atomic release that failed was purged: there is nothing to record.
	if kept, err := find(configuration, release.Name); err != nil || kept == nil {
		return failure
	}
	if err := describe(release, stored); err != nil {
		return err
	}
	p.Engine.Warn(urn, fmt.Sprintf("Helm release %q was created but has a failed status. Use the `helm` "+
		"command to investigate the error, correct it, then retry. Reason: %v", release.Name, failure))
	return &failedError{release: release, cause: failure}
}

// upgrade runs helm upgrade on the release in the old one's namespace.
func (p *Provider) upgrade(urn string, release *Release, namespace string) error {
	configuration, err := p.configuration(namespace, p.progress(urn))
	if err != nil {
		return err
	}
	loaded, path, err := p.load(configuration, release)
	if err != nil {
		return err
	}
	if release.Lint {
		if err := lint(path, release.Values); err != nil {
			return err
		}
	}
	upgrade := action.NewUpgrade(configuration)
	chartReference(&upgrade.ChartPathOptions, release)
	upgrade.Atomic = release.Atomic
	upgrade.CleanupOnFail = release.CleanupOnFail
	upgrade.Description = release.Description
	upgrade.Devel = release.Devel
	upgrade.DisableHooks = release.DisableCRDHooks
	upgrade.Force = release.ForceUpdate
	if release.MaxHistory != nil {
		upgrade.MaxHistory = *release.MaxHistory
	}
	upgrade.Namespace = release.Namespace
	upgrade.Recreate = release.RecreatePods
	upgrade.ResetValues = release.ResetValues
	upgrade.ReuseValues = release.ReuseValues
	upgrade.SubNotes = release.RenderSubchartNotes
	upgrade.TakeOwnership = release.TakeOwnership
	upgrade.Timeout = release.timeout()
	upgrade.Wait = !release.SkipAwait
	upgrade.WaitForJobs = !release.SkipAwait && release.WaitForJobs
	if upgrade.PostRenderer, err = postRenderer(release); err != nil {
		return err
	}
	stored, failure := upgrade.RunWithContext(p.Context, release.Name, loaded, copyValues(release.Values))
	if failure == nil {
		return describe(release, stored)
	}
	if stored == nil || errors.Is(failure, driver.ErrNoDeployedReleases) {
		return failure
	}
	if err := describe(release, stored); err != nil {
		return err
	}
	return fmt.Errorf("error running update: %w", &failedError{release: release, cause: failure})
}

// uninstall removes the release. It waits for its resources to be gone unless awaiting was skipped.
func (p *Provider) uninstall(urn string, release *Release) error {
	configuration, err := p.configuration(release.Namespace, p.progress(urn))
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(configuration)
	if release.Atomic || !release.SkipAwait {
		uninstall.Wait = true
		uninstall.Timeout = release.timeout()
	}
	response, err := uninstall.Run(release.Name)
	if err != nil {
		return err
	}
	if response.Info != "" {
		p.Engine.Warn(urn, fmt.Sprintf("Helm uninstall returned information: %q", response.Info))
	}
	return nil
}

// postRenderer gives the command that rewrites the rendered manifests, or nil.
func postRenderer(release *Release) (postrender.PostRenderer, error) {
	if release.Postrender == "" {
		return nil, nil
	}
	return postrender.NewExec(release.Postrender)
}

func lint(path string, values map[string]any) error {
	result := action.NewLint().Run([]string{path}, values)
	if len(result.Errors) == 0 {
		return nil
	}
	return fmt.Errorf("malformed chart or values: \n\t%w", errors.Join(result.Errors...))
}
