package hcloud

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) loadBalancerService() *provider.Resource {
	protocol := func() *schema.Property { return schema.Req(schema.String).Checked(oneOf("http", "https", "tcp")) }
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"loadBalancerId":  schema.Req(schema.String).Replacing(),
			"protocol":        protocol().Replacing(),
			"listenPort":      schema.OptOut(schema.Int).Replacing(),
			"destinationPort": schema.OptOut(schema.Int),
			"proxyprotocol":   schema.OptOut(schema.Bool),
			"http": schema.OptOut(schema.Object).With(schema.Properties{
				"stickySessions": schema.OptOut(schema.Bool),
				"cookieName":     schema.OptOut(schema.String),
				"cookieLifetime": schema.OptOut(schema.Int),
				"certificates":   schema.OptOut(schema.Set).OfInts(),
				"redirectHttp":   schema.OptOut(schema.Bool),
				"timeoutIdle":    schema.OptOut(schema.Int),
			}),
			"healthCheck": schema.OptOut(schema.Object).With(schema.Properties{
				"protocol": protocol(),
				"port":     schema.Req(schema.Int),
				"interval": schema.Req(schema.Int),
				"timeout":  schema.Req(schema.Int),
				"retries":  schema.Req(schema.Int),
				"http": schema.OptOut(schema.Object).With(schema.Properties{
					"domain":      schema.Opt(schema.String),
					"path":        schema.Opt(schema.String),
					"response":    schema.Opt(schema.String),
					"tls":         schema.Opt(schema.Bool),
					"statusCodes": schema.Opt(schema.List).OfStrings(),
				}),
			}),
		},
		Create: c.createService,
		Read:   c.readService,
		Update: c.updateService,
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			balancer, service, err := c.findService(ctx, id)
			if err != nil {
				return err
			}
			action, resp, err := c.client.LoadBalancer.DeleteService(ctx, balancer, service.ListenPort)
			return ignoreMissing(c.done(ctx, action, resp, err))
		},
	})
}

func (c *cloud) createService(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	id, err := number(op.Plan.Str("loadBalancerId"))
	if err != nil {
		return "", nil, fmt.Errorf("load balancer id is not an integer: %s", op.Plan.Str("loadBalancerId"))
	}
	port := int(op.Inputs.Int("listenPort"))
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[op.Plan.Str("protocol")]
	}
	opts := hcloud.LoadBalancerAddServiceOpts{
		Protocol: hcloud.LoadBalancerServiceProtocol(op.Plan.Str("protocol")), ListenPort: &port,
	}
	if destination := int(op.Inputs.Int("destinationPort")); destination != 0 {
		opts.DestinationPort = &destination
	}
	if op.Inputs.Bool("proxyprotocol") {
		opts.Proxyprotocol = new(true)
	}
	if web, ok := op.Inputs.Object("http"); ok {
		opts.HTTP = &hcloud.LoadBalancerAddServiceOptsHTTP{
			StickySessions: new(web.Bool("stickySessions")), RedirectHTTP: new(web.Bool("redirectHttp")),
			Certificates: certificates(web), CookieName: textOrNil(web, "cookieName"),
			CookieLifetime: secondsOrNil(web, "cookieLifetime"), TimeoutIdle: secondsOrNil(web, "timeoutIdle"),
		}
	}
	if check, ok := op.Inputs.Object("healthCheck"); ok {
		opts.HealthCheck = &hcloud.LoadBalancerAddServiceOptsHealthCheck{
			Protocol: hcloud.LoadBalancerServiceProtocol(check.Str("protocol")), Port: new(int(check.Int("port"))),
			Interval: new(seconds(check, "interval")), Timeout: new(seconds(check, "timeout")),
			Retries: new(int(check.Int("retries"))),
		}
		if web, ok := check.Object("http"); ok {
			opts.HealthCheck.HTTP = &hcloud.LoadBalancerAddServiceOptsHealthCheckHTTP{
				Domain: new(web.Str("domain")), Path: new(web.Str("path")), Response: new(web.Str("response")),
				TLS: new(web.Bool("tls")), StatusCodes: web.Strs("statusCodes"),
			}
		}
	}
	var action *hcloud.Action
	err = retry(ctx, retries, coded(hcloud.ErrorCodeServiceError), func() (err error) {
		action, _, err = c.client.LoadBalancer.AddService(ctx, &hcloud.LoadBalancer{ID: id}, opts)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	serviceID := fmt.Sprintf("%d__%d", id, port)
	if err := c.wait(ctx, action); err != nil {
		return serviceID, nil, err
	}
	return c.readService(ctx, serviceID, op.Plan.Map)
}

func seconds(values schema.Values, key string) time.Duration {
	return time.Duration(values.Int(key)) * time.Second
}

func secondsOrNil(values schema.Values, key string) *time.Duration {
	if values.Int(key) == 0 {
		return nil
	}
	return new(seconds(values, key))
}

func textOrNil(values schema.Values, key string) *string {
	if values.Str(key) == "" {
		return nil
	}
	return new(values.Str(key))
}

func certificates(values schema.Values) []*hcloud.Certificate {
	var out []*hcloud.Certificate
	for _, id := range values.Ints("certificates") {
		out = append(out, &hcloud.Certificate{ID: id})
	}
	return out
}

func (c *cloud) findService(ctx context.Context, id string) (*hcloud.LoadBalancer, *hcloud.LoadBalancerService, error) {
	head, tail, _ := strings.Cut(id, "__")
	port, err := strconv.Atoi(tail)
	if err != nil {
		return nil, nil, provider.ErrGone
	}
	balancer, err := c.findLoadBalancer(ctx, head)
	if err != nil {
		return nil, nil, err
	}
	for i, service := range balancer.Services {
		if service.ListenPort == port {
			return balancer, &balancer.Services[i], nil
		}
	}
	return nil, nil, provider.ErrGone
}

func (c *cloud) readService(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	balancer, service, err := c.findService(ctx, id)
	if err != nil {
		return id, nil, err
	}
	check := service.HealthCheck
	checked := resource.PropertyMap{
		"protocol": schema.Text(check.Protocol), "port": schema.Number(check.Port),
		"interval": schema.Number(int(check.Interval.Seconds())), "timeout": schema.Number(int(check.Timeout.Seconds())),
		"retries": schema.Number(check.Retries),
	}
	if web := check.HTTP; web != nil {
		checked["http"] = resource.NewProperty(resource.PropertyMap{
			"domain": schema.Text(web.Domain), "path": schema.Text(web.Path), "response": schema.Text(web.Response),
			"tls": schema.Flag(web.TLS), "statusCodes": schema.Strings(web.StatusCodes),
		})
	}
	out := resource.PropertyMap{
		"loadBalancerId": schema.Text(idText(balancer.ID)), "protocol": schema.Text(service.Protocol),
		"listenPort": schema.Number(service.ListenPort), "destinationPort": schema.Number(service.DestinationPort),
		"proxyprotocol": schema.Flag(service.Proxyprotocol), "healthCheck": resource.NewProperty(checked),
	}
	if service.Protocol != hcloud.LoadBalancerServiceProtocolTCP {
		var ids []int64
		for _, certificate := range service.HTTP.Certificates {
			ids = append(ids, certificate.ID)
		}
		out["http"] = resource.NewProperty(resource.PropertyMap{
			"stickySessions": schema.Flag(service.HTTP.StickySessions), "cookieName": schema.Text(service.HTTP.CookieName),
			"cookieLifetime": schema.Number(int(service.HTTP.CookieLifetime.Seconds())),
			"timeoutIdle":    schema.Number(int(service.HTTP.TimeoutIdle.Seconds())),
			"redirectHttp":   schema.Flag(service.HTTP.RedirectHTTP), "certificates": schema.Ints(ids),
		})
	}
	return id, overlay(state, out), nil
}

func (c *cloud) updateService(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	balancer, service, err := c.findService(ctx, id)
	if err != nil {
		return nil, err
	}
	opts := hcloud.LoadBalancerUpdateServiceOpts{
		Protocol:      hcloud.LoadBalancerServiceProtocol(op.Plan.Str("protocol")),
		Proxyprotocol: new(op.Plan.Bool("proxyprotocol")),
	}
	if destination := int(op.Plan.Int("destinationPort")); destination != 0 {
		opts.DestinationPort = &destination
	}
	if web, ok := op.Plan.Object("http"); ok {
		opts.HTTP = &hcloud.LoadBalancerUpdateServiceOptsHTTP{
			StickySessions: new(web.Bool("stickySessions")), RedirectHTTP: new(web.Bool("redirectHttp")),
			Certificates: certificates(web), CookieName: textOrNil(web, "cookieName"),
			CookieLifetime: secondsOrNil(web, "cookieLifetime"), TimeoutIdle: secondsOrNil(web, "timeoutIdle"),
		}
	}
	if check, ok := op.Plan.Object("healthCheck"); ok {
		opts.HealthCheck = &hcloud.LoadBalancerUpdateServiceOptsHealthCheck{
			Protocol: hcloud.LoadBalancerServiceProtocol(check.Str("protocol")), Port: new(int(check.Int("port"))),
			Interval: new(seconds(check, "interval")), Timeout: new(seconds(check, "timeout")),
			Retries: new(int(check.Int("retries"))),
		}
		if web, ok := check.Object("http"); ok {
			opts.HealthCheck.HTTP = &hcloud.LoadBalancerUpdateServiceOptsHealthCheckHTTP{
				Domain: new(web.Str("domain")), Path: new(web.Str("path")), Response: new(web.Str("response")),
				TLS: new(web.Bool("tls")), StatusCodes: web.Strs("statusCodes"),
			}
		}
	}
	action, resp, err := c.client.LoadBalancer.UpdateService(ctx, balancer, service.ListenPort, opts)
	if err := c.done(ctx, action, resp, err); err != nil {
		return nil, err
	}
	_, outputs, err := c.readService(ctx, id, op.Plan.Map)
	return outputs, err
}
