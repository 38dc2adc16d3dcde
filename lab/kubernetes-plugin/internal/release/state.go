package release

import (
	"errors"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"google.golang.org/protobuf/types/known/structpb"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"

	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

const inputsKey = "__inputs"

// state is what the engine records: the release with its outputs, and the inputs under __inputs as a
// secret. In a preview the pure outputs are unknown.
func (p *Provider) state(
	inputs resource.PropertyMap, release *Release, preview bool,
) (*structpb.Struct, error) {
	recorded := resource.NewPropertyMap(release)
	recorded[inputsKey] = resource.MakeSecret(resource.NewObjectProperty(inputs))
	property.MarkUnknowns(recorded, inputs)
	property.MarkSecrets(recorded, inputs)
	if preview {
		recorded["resourceNames"] = property.Unknown()
		recorded["status"] = property.Unknown()
	}
	return property.Encode("state", recorded, p.KeepSecrets)
}

// parseState splits recorded state into the inputs and the rest. Without recorded inputs, as in an
// import, the first result is nil.
func parseState(recorded resource.PropertyMap) (inputs, state resource.PropertyMap) {
	state = recorded.Copy()
	value, has := state[inputsKey]
	if !has {
		return nil, state
	}
	delete(state, inputsKey)
	if value.IsSecret() {
		value = value.SecretValue().Element
	}
	if !value.IsObject() {
		return nil, state
	}
	return value.ObjectValue(), state
}

// describe fills in the outputs from what Helm stored.
func describe(release *Release, stored *helmrelease.Release) error {
	if release.Name == "" {
		release.Name = stored.Name
	}
	if release.Namespace == "" {
		release.Namespace = stored.Namespace
	}
	if release.Chart == "" {
		release.Chart = stored.Chart.Metadata.Name
	}
	release.Values = chartutil.MergeTables(copyValues(stored.Config), release.Values)
	release.Version = stored.Chart.Metadata.Version
	names, err := resourceNames(stored.Manifest)
	if err != nil {
		return err
	}
	release.ResourceNames = names
	revision := stored.Version
	release.Status = &Status{
		AppVersion: stored.Chart.Metadata.AppVersion,
		Chart:      stored.Chart.Metadata.Name,
		Name:       stored.Name,
		Namespace:  stored.Namespace,
		Revision:   &revision,
		Status:     stored.Info.Status.String(),
		Version:    stored.Chart.Metadata.Version,
	}
	return nil
}

// find gives the latest revision of a release, or nil when Helm knows none.
func find(configuration *action.Configuration, name string) (*helmrelease.Release, error) {
	stored, err := action.NewGet(configuration).Run(name)
	if err == nil {
		return stored, nil
	}
	if errors.Is(err, driver.ErrReleaseNotFound) || strings.Contains(err.Error(), "release: not found") {
		return nil, nil
	}
	return nil, err
}
