// Package controlplane runs the real Kubernetes control plane of one node with the certificates and the flags that
// its machine config gives.
package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/config"

	"github.com/oxide-lab/node/internal/etcd"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// Names of the components; also of their static pods.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

// Plane is the Kubernetes control plane of one node.
type Plane struct {
	// Dir holds certificates and configuration.
	Dir    string
	LogDir string
	// KubernetesDir holds the binaries: <version>/<component>.
	KubernetesDir string
	// Wire is the loopback address that the components listen on.
	Wire string
	// NodeIP is the address that kube-apiserver advertises.
	NodeIP    string
	Hostname  string
	Addresses []string
	EtcdPKI   etcd.PKI
	EtcdURL   string
}

// Command is how a component is started.
type Command struct {
	Component string
	Image     string
	Path      string
	Args      []string
	// Restart differs between two commands if and only if the component must be restarted.
	Restart string
}

// Render writes all files and returns the commands.
func (p *Plane) Render(cfg config.Config) ([]Command, error) {
	if err := p.writeSecrets(cfg); err != nil {
		return nil, err
	}

	cluster := cfg.Cluster()

	apiserver, err := p.apiServer(cluster)
	if err != nil {
		return nil, err
	}

	commands := []Command{apiserver}

	if !cfg.Machine().Controlplane().ControllerManager().Disabled() {
		commands = append(commands, p.controllerManager(cluster))
	}

	if !cfg.Machine().Controlplane().Scheduler().Disabled() {
		scheduler, err := p.scheduler(cluster)
		if err != nil {
			return nil, err
		}

		commands = append(commands, scheduler)
	}

	return commands, nil
}

func (p *Plane) apiServer(cluster config.ClusterConfig) (Command, error) {
	endpoint := cluster.Endpoint().String()
	server := cluster.APIServer()

	plugins := []any{}
	for _, plugin := range server.AdmissionControl() {
		plugins = append(plugins, map[string]any{"name": plugin.Name(), "configuration": plugin.Configuration()})
	}

	admission, err := p.writeJSON("admission-control-config.yaml", map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins,
	})
	if err != nil {
		return Command{}, err
	}

	args := map[string]string{
		"admission-control-config-file":      p.path("admission-control-config.yaml"),
		"advertise-address":                  p.NodeIP,
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      endpoint,
		"authorization-mode":                 "Node,RBAC",
		"bind-address":                       p.Wire,
		"client-ca-file":                     p.path("ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"encryption-provider-config":         p.path("encryptionconfig.yaml"),
		"endpoint-reconciler-type":           "lease",
		"etcd-cafile":                        p.EtcdPKI.CA(),
		"etcd-certfile":                      p.EtcdPKI.ClientCert(),
		"etcd-keyfile":                       p.EtcdPKI.ClientKey(),
		"etcd-servers":                       p.EtcdURL,
		"kubelet-client-certificate":         p.path("apiserver-kubelet-client.crt"),
		"kubelet-client-key":                 p.path("apiserver-kubelet-client.key"),
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             p.path("front-proxy-client.crt"),
		"proxy-client-key-file":              p.path("front-proxy-client.key"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-client-ca-file":       p.path("aggregator-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        "6443",
		"service-account-issuer":             endpoint,
		"service-account-key-file":           p.path("service-account.pub"),
		"service-account-signing-key-file":   p.path("service-account.key"),
		"service-cluster-ip-range":           strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"shutdown-delay-duration":            "0s",
		"tls-cert-file":                      p.path("apiserver.crt"),
		"tls-min-version":                    "VersionTLS12",
		"tls-private-key-file":               p.path("apiserver.key"),
	}

	var authorization []byte

	if authorizers := server.AuthorizationConfig(); len(authorizers) > 0 {
		list := []any{}

		for _, authorizer := range authorizers {
			entry := map[string]any{"type": authorizer.Type(), "name": authorizer.Name()}
			if len(authorizer.Webhook()) > 0 {
				entry["webhook"] = authorizer.Webhook()
			}

			list = append(list, entry)
		}

		for _, kind := range []string{"RBAC", "Node"} {
			if !slices.ContainsFunc(authorizers, func(a config.AuthorizationConfigAuthorizer) bool { return a.Type() == kind }) {
				list = append([]any{map[string]any{"type": kind, "name": strings.ToLower(kind)}}, list...)
			}
		}

		delete(args, "authorization-mode")

		args["authorization-config"] = p.path("authorization-config.yaml")

		authorization, err = p.writeJSON("authorization-config.yaml", map[string]any{
			"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": list,
		})
		if err != nil {
			return Command{}, err
		}
	}

	additive := []string{"enable-admission-plugins", "feature-gates", "authorization-mode"}
	merge(args, server.ExtraArgs(), additive, apiServerFixed)

	encryption, err := encryptionConfig(cluster)
	if err != nil {
		return Command{}, err
	}

	return p.command(APIServer, server.Image(), args, admission, authorization, encryption,
		cluster.IssuingCA().Crt, cluster.AggregatorCA().Crt), nil
}

// apiServerFixed are flags that the machine config cannot change, or that have no meaning here (audit logs).
var apiServerFixed = []string{
	"etcd-servers", "client-ca-file", "requestheader-client-ca-file", "proxy-client-cert-file", "proxy-client-key-file",
	"encryption-provider-config", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "kubelet-client-certificate",
	"kubelet-client-key", "service-account-key-file", "service-account-signing-key-file", "tls-cert-file",
	"tls-private-key-file", "authorization-config", "bind-address", "secure-port", "audit-log-path", "audit-policy-file",
	"advertise-address",
}

func (p *Plane) controllerManager(cluster config.ClusterConfig) Command {
	args := map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        p.path("controller-manager.kubeconfig"),
		"authorization-kubeconfig":         p.path("controller-manager.kubeconfig"),
		"bind-address":                     p.Wire,
		"cluster-cidr":                     strings.Join(cluster.Network().PodCIDRs(), ","),
		"cluster-signing-cert-file":        p.path("issuing-ca.crt"),
		"cluster-signing-key-file":         p.path("issuing-ca.key"),
		"configure-cloud-routes":           "false",
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       p.path("controller-manager.kubeconfig"),
		"leader-elect":                     "true",
		"profiling":                        "false",
		"root-ca-file":                     p.path("issuing-ca.crt"),
		"service-account-private-key-file": p.path("service-account.key"),
		"service-cluster-ip-range":         strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"tls-min-version":                  "VersionTLS13",
		"use-service-account-credentials":  "true",
	}

	if cluster.ExternalCloudProvider().Enabled() {
		args["cloud-provider"] = "external"
	}

	manager := cluster.ControllerManager()
	merge(args, manager.ExtraArgs(), []string{"controllers", "feature-gates"}, []string{
		"cluster-signing-cert-file", "cluster-signing-key-file", "authentication-kubeconfig", "authorization-kubeconfig",
		"kubeconfig", "root-ca-file", "service-account-private-key-file", "bind-address",
	})

	return p.command(ControllerManager, manager.Image(), args, cluster.IssuingCA().Crt)
}

func (p *Plane) scheduler(cluster config.ClusterConfig) (Command, error) {
	scheduler := cluster.Scheduler()

	settings := map[string]any{}
	for key, value := range scheduler.Config() {
		settings[key] = value
	}

	settings["apiVersion"] = "kubescheduler.config.k8s.io/v1"
	settings["kind"] = "KubeSchedulerConfiguration"
	settings["clientConnection"] = map[string]any{"kubeconfig": p.path("scheduler.kubeconfig")}

	file, err := p.writeJSON("scheduler-config.yaml", settings)
	if err != nil {
		return Command{}, err
	}

	args := map[string]string{
		"authentication-kubeconfig":              p.path("scheduler.kubeconfig"),
		"authentication-tolerate-lookup-failure": "false",
		"authorization-kubeconfig":               p.path("scheduler.kubeconfig"),
		"bind-address":                           p.Wire,
		"config":                                 p.path("scheduler-config.yaml"),
		"leader-elect":                           "true",
		"profiling":                              "false",
		"tls-min-version":                        "VersionTLS13",
	}
	merge(args, scheduler.ExtraArgs(), []string{"feature-gates"}, []string{
		"kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig", "config", "bind-address",
	})

	return p.command(Scheduler, scheduler.Image(), args, file, cluster.IssuingCA().Crt), nil
}

// merge lays the config's extra arguments over the defaults: additive ones are joined, fixed ones are left alone.
func merge(args map[string]string, extra map[string][]string, additive, fixed []string) {
	for name, values := range extra {
		value := strings.Join(values, ",")

		switch current := args[name]; {
		case slices.Contains(fixed, name):
		case current != "" && slices.Contains(additive, name):
			args[name] = current + "," + value
		default:
			args[name] = value
		}
	}
}

func (p *Plane) command(component, image string, args map[string]string, files ...[]byte) Command {
	version := machineconfig.Tag(image)

	flags := make([]string, 0, len(args))
	for name, value := range args {
		flags = append(flags, "--"+name+"="+value)
	}

	slices.Sort(flags)

	restart := version + strings.Join(flags, "\n")
	for _, file := range files {
		restart += string(file)
	}

	return Command{
		Component: component,
		Image:     image,
		Path:      filepath.Join(p.KubernetesDir, version, component),
		Args:      flags,
		Restart:   restart,
	}
}

// Available returns an error if the lab has no binary of the wanted version: the image cannot be pulled.
func (c *Command) Available() error {
	if _, err := os.Stat(c.Path); err == nil {
		return nil
	}

	versions, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(c.Path)), "v*")) //nolint:errcheck // constant pattern
	for i := range versions {
		versions[i] = filepath.Base(versions[i])
	}

	return fmt.Errorf("failed to pull image %q: the lab has no such version (it has: %s)", c.Image, strings.Join(versions, ", "))
}

func (p *Plane) writeJSON(name string, value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}

	return data, p.write(name, data)
}
