package release

import (
	"context"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/oxide-lab/kubernetes-plugin/internal/detail"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Check completes the inputs. Where all of them are known the chart is loaded, in a preview too, and
// its exact version recorded.
func (p *Provider) Check(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	olds, err := property.Decode("old inputs", request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := property.Decode("resource inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	var failures []*pulumirpc.CheckFailure
	for _, name := range unknownInputs(news) {
		failures = append(failures, &pulumirpc.CheckFailure{
			Property: name, Reason: "a Release has no such input",
		})
	}
	if failures != nil {
		return &pulumirpc.CheckResponse{Inputs: request.GetNews(), Failures: failures}, nil
	}
	given := news.Copy()
	if _, named := news["name"]; !named && !isEmpty(olds["name"]) {
		news["name"] = olds["name"]
	}
	urn := resource.URN(request.GetUrn())
	if isEmpty(news["name"]) {
		name, err := resource.NewUniqueName(request.GetRandomSeed(), urn.Name()+"-", 0, 0, nil)
		if err != nil {
			return nil, err
		}
		news["name"] = resource.NewStringProperty(name)
	}
	p.setDefaults(news)
	release, err := decode(news)
	if err != nil {
		return nil, err
	}
	if release.AllowNullValues {
		p.Engine.Warn(string(urn), "`allowNullValues` is deprecated and has no effect; "+
			"null values in Helm chart values are preserved by default.")
	}
	if !news.ContainsUnknowns() {
		if err := p.checkChart(release); err != nil {
			failures = append(failures, &pulumirpc.CheckFailure{
				Property: "chart",
				Reason:   fmt.Sprintf("%v; check the chart name and repository configuration.", err),
			})
		}
	}
	checked := resource.NewPropertyMap(release)
	delete(checked, "resourceNames")
	property.MarkUnknowns(checked, given)
	property.MarkSecrets(checked, given)
	inputs, err := property.Encode("checked inputs", checked, p.KeepSecrets)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, nil
}

func (p *Provider) checkChart(release *Release) error {
	configuration, err := p.configuration(release.Namespace, quiet)
	if err != nil {
		return err
	}
	loaded, _, err := p.load(configuration, release)
	if err != nil {
		return err
	}
	release.Version = loaded.Metadata.Version
	p.plan(loaded, release)
	return nil
}

// Diff compares checked inputs with the recorded state. Only another name or namespace replaces a
// release; what was changed in the cluster by other hands is not noticed.
func (p *Provider) Diff(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := property.Decode("old state", request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := property.Decode("resource inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	if slices.Contains(request.GetIgnoreChanges(), "version") {
		news["version"] = olds["version"]
	}
	oldInputs, _ := parseState(olds)
	delete(oldInputs, "checksum")
	delete(oldInputs, "resourceNames")
	changes := detail.Changes(
		property.Plain(olds), property.Plain(oldInputs), property.Plain(news),
		[]string{".name", ".namespace"},
	)
	response := &pulumirpc.DiffResponse{
		Changes:         pulumirpc.DiffResponse_DIFF_NONE,
		DetailedDiff:    changes,
		HasDetailedDiff: len(changes) > 0,
		Replaces:        detail.Replacements(changes),
	}
	if len(changes) > 0 {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	for path := range changes {
		if parsed, err := resource.ParsePropertyPath(path); err == nil && len(parsed) > 0 {
			if top, ok := parsed[0].(string); ok && !slices.Contains(response.Diffs, top) {
				response.Diffs = append(response.Diffs, top)
			}
		}
	}
	return response, nil
}
