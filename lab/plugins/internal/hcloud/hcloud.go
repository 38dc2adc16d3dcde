// Package hcloud holds the resources and functions of the Hetzner Cloud provider.
package hcloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// Version is that of the official plugin whose behaviour is followed.
const Version = "1.43.3"

// cloud is the connection that all resources share; the client exists once the provider is configured.
type cloud struct{ client *hcloud.Client }

// Spec returns the provider.
func Spec() *provider.Spec {
	c := &cloud{}
	return &provider.Spec{
		Name:    "hcloud",
		Version: Version,
		Config: schema.Properties{
			"token":           schema.Opt(schema.String).AsSecret().Checked(checkToken),
			"endpoint":        schema.Opt(schema.String),
			"endpointHetzner": schema.Opt(schema.String),
			"pollInterval":    schema.Opt(schema.String),
			"pollFunction":    schema.Opt(schema.String).Checked(oneOf("constant", "exponential")),
		},
		Configure: c.configure,
		Resources: map[string]*provider.Resource{
			"hcloud:index/firewall:Firewall":                       c.firewall(),
			"hcloud:index/firewallAttachment:FirewallAttachment":   c.firewallAttachment(),
			"hcloud:index/loadBalancer:LoadBalancer":               c.loadBalancer(),
			"hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": c.loadBalancerNetwork(),
			"hcloud:index/loadBalancerService:LoadBalancerService": c.loadBalancerService(),
			"hcloud:index/loadBalancerTarget:LoadBalancerTarget":   c.loadBalancerTarget(),
			"hcloud:index/network:Network":                         c.network(),
			"hcloud:index/networkRoute:NetworkRoute":               c.networkRoute(),
			"hcloud:index/networkSubnet:NetworkSubnet":             c.networkSubnet(),
			"hcloud:index/placementGroup:PlacementGroup":           c.placementGroup(),
			"hcloud:index/primaryIp:PrimaryIp":                     c.primaryIP(),
			"hcloud:index/rdns:Rdns":                               c.rdns(),
			"hcloud:index/server:Server":                           c.server(),
			"hcloud:index/serverNetwork:ServerNetwork":             c.serverNetwork(),
			"hcloud:index/sshKey:SshKey":                           c.sshKey(),
			"hcloud:index/volume:Volume":                           c.volume(),
			"hcloud:index/volumeAttachment:VolumeAttachment":       c.volumeAttachment(),
		},
		Functions: c.functions(),
	}
}

func (c *cloud) configure(_ context.Context, config schema.Values) error {
	setting := func(key, variable, otherwise string) string {
		if value := config.Str(key); value != "" {
			return value
		}
		if value := os.Getenv(variable); value != "" {
			return value
		}
		return otherwise
	}
	interval, err := time.ParseDuration(setting("pollInterval", "", "500ms"))
	if err != nil {
		return err
	}
	backoff := hcloud.ExponentialBackoff(2, interval)
	if config.Str("pollFunction") == "constant" {
		backoff = hcloud.ConstantBackoff(interval)
	}
	options := []hcloud.ClientOption{
		hcloud.WithToken(setting("token", "HCLOUD_TOKEN", "")),
		hcloud.WithApplication("pulumi-resource-hcloud-lab", Version),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: backoff}),
	}
	if endpoint := setting("endpoint", "HCLOUD_ENDPOINT", ""); endpoint != "" {
		options = append(options, hcloud.WithEndpoint(endpoint))
	}
	c.client = hcloud.NewClient(options...)
	return nil
}

func checkToken(value resource.PropertyValue) error {
	if len(value.StringValue()) != 64 {
		return errors.New("entered token is invalid (must be exactly 64 characters long)")
	}
	return nil
}

func oneOf(allowed ...string) func(resource.PropertyValue) error {
	return func(value resource.PropertyValue) error {
		for _, item := range allowed {
			if value.StringValue() == item {
				return nil
			}
		}
		return fmt.Errorf("expected one of %q, got %s", allowed, value.StringValue())
	}
}

func labels() *schema.Property {
	return schema.Opt(schema.Map).OfStrings().Checked(checkLabels)
}

func checkLabels(value resource.PropertyValue) error {
	found := map[string]any{}
	for key, label := range value.ObjectValue() {
		if label.IsString() {
			found[string(key)] = label.StringValue()
		}
	}
	_, err := hcloud.ValidateResourceLabels(found)
	return err
}

// removed is an input that the service does not know any more.
func removed(text string) *schema.Property {
	return schema.OptOut(schema.String).Replacing().Checked(func(resource.PropertyValue) error {
		return fmt.Errorf("Removed Attribute. %s", text) //nolint:staticcheck
	})
}

func datacenter() *schema.Property {
	return removed("The datacenter attribute was removed on 1 July 2026. Use the location attribute instead.")
}

// wait follows actions to their end.
func (c *cloud) wait(ctx context.Context, actions ...*hcloud.Action) error {
	var found []*hcloud.Action
	for _, action := range actions {
		if action != nil {
			found = append(found, action)
		}
	}
	return c.client.Action.WaitFor(ctx, found...)
}

// done waits for the action of a call that returned no error.
func (c *cloud) done(ctx context.Context, action *hcloud.Action, _ *hcloud.Response, err error) error {
	if err != nil {
		return err
	}
	return c.wait(ctx, action)
}

const retries = 5

// retry calls f until it succeeds, fails with an error that again does not name, or was called
// often enough. Waits grow from one second.
func retry(ctx context.Context, tries int, again func(error) bool, f func() error) error {
	pause := hcloud.ExponentialBackoff(2, time.Second)
	var err error
	for try := range tries {
		if err = f(); err == nil || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause(try)):
		}
	}
	return err
}

func coded(codes ...hcloud.ErrorCode) func(error) bool {
	return func(err error) bool { return hcloud.IsError(err, codes...) }
}

func always(error) bool { return true }

// explain adds the refused fields to the error that the API gives for invalid input.
func explain(err error) error {
	var failure hcloud.Error
	if !errors.As(err, &failure) || failure.Code != hcloud.ErrorCodeInvalidInput {
		return err
	}
	details, ok := failure.Details.(hcloud.ErrorDetailsInvalidInput)
	if !ok {
		return err
	}
	fields := make([]string, 0, len(details.Fields))
	for _, field := range details.Fields {
		fields = append(fields, fmt.Sprintf("%s => %s", field.Name, field.Messages))
	}
	return fmt.Errorf("%w: %s", err, fields)
}

// request words an API error as the resources of the newer framework do.
func request(err error) error {
	var failure hcloud.Error
	if !errors.As(err, &failure) {
		return &provider.Summary{
			Title:  "API request failed",
			Detail: fmt.Sprintf("An unexpected error was encountered during an API request.\n\n%s\n", err),
		}
	}
	status := ""
	if response := failure.Response(); response != nil {
		status = fmt.Sprintf("Status code: %d\n", response.StatusCode)
	}
	return &provider.Summary{
		Title: "API request failed",
		Detail: fmt.Sprintf("An unexpected error was encountered during an API request.\n\n%s\n\nError code: %s\n%s",
			explain(err), failure.Code, status),
	}
}

// classic lets the resource report errors in the style of the older framework.
func classic(res *provider.Resource) *provider.Resource { return reporting(res, explain) }

// framework lets the resource follow the rules of the newer framework.
func framework(res *provider.Resource) *provider.Resource {
	res.Framework = true
	return reporting(res, request)
}

func reporting(res *provider.Resource, report func(error) error) *provider.Resource {
	through := func(err error) error {
		if err == nil || errors.Is(err, provider.ErrGone) {
			return err
		}
		return report(err)
	}
	create, read, update, remove := res.Create, res.Read, res.Update, res.Delete
	res.Create = func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
		id, outputs, err := create(ctx, op)
		return id, outputs, through(err)
	}
	res.Read = func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
		newID, outputs, err := read(ctx, id, state)
		return newID, outputs, through(err)
	}
	if update != nil {
		res.Update = func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			outputs, err := update(ctx, id, op)
			return outputs, through(err)
		}
	}
	res.Delete = func(ctx context.Context, id string, op *provider.Operation) error {
		return through(remove(ctx, id, op))
	}
	return res
}

// exactlyOne refuses inputs that set none or several of the properties.
func exactlyOne(inputs schema.Values, keys ...string) []string {
	set := 0
	for _, key := range keys {
		if _, ok := inputs.Map[resource.PropertyKey(key)]; ok {
			set++
		}
	}
	if set == 1 {
		return nil
	}
	return []string{fmt.Sprintf("Invalid Attribute Combination. Exactly one of these attributes must be configured: [%s]",
		strings.Join(keys, ","))}
}
