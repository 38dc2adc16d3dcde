package controlplane

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	siderox509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/oxide-lab/node/internal/machineconfig"
)

const certificateLifetime = 365 * 24 * time.Hour

// ServingNames are the names that Talos puts into kube-apiserver's certificate.
func (p *Plane) ServingNames(cluster config.ClusterConfig) (names []string, ips []net.IP, err error) {
	all := append([]string{cluster.Endpoint().Hostname()}, cluster.CertSANs()...)
	all = append(all, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc."+cluster.Network().DNSDomain(), "localhost", p.Hostname, "127.0.0.1")
	all = append(all, p.Addresses...)

	service, err := cluster.Network().APIServerIPs()
	if err != nil {
		return nil, nil, err
	}

	for _, addr := range service {
		all = append(all, addr.String())
	}

	slices.Sort(all)

	for _, name := range slices.Compact(all) {
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
		} else if name != "" {
			names = append(names, name)
		}
	}

	return names, ips, nil
}

// writeSecrets mints what the three components need from the CAs of the machine config.
func (p *Plane) writeSecrets(cfg config.Config) error {
	cluster := cfg.Cluster()

	if !machineconfig.HasKey(cluster.IssuingCA()) || !machineconfig.HasKey(cluster.AggregatorCA()) || cluster.ServiceAccount() == nil {
		return errors.New("cluster.ca, cluster.aggregatorCA or cluster.serviceAccount has no key in the machine config")
	}

	ca, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(cluster.IssuingCA())
	if err != nil {
		return fmt.Errorf("failed to parse CA certificate: %w", err)
	}

	aggregator, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(cluster.AggregatorCA())
	if err != nil {
		return fmt.Errorf("failed to parse aggregator CA: %w", err)
	}

	names, ips, err := p.ServingNames(cluster)
	if err != nil {
		return err
	}

	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

	for _, cert := range []struct {
		file    string
		issuer  *siderox509.CertificateAuthority
		options []siderox509.Option
	}{
		{"apiserver", ca, []siderox509.Option{
			siderox509.CommonName("kube-apiserver"), siderox509.Organization("kube-master"),
			siderox509.DNSNames(names), siderox509.IPAddresses(ips), siderox509.ExtKeyUsage(server),
		}},
		{"apiserver-kubelet-client", ca, []siderox509.Option{
			siderox509.CommonName("apiserver-kubelet-client"), siderox509.Organization("system:masters"),
			siderox509.ExtKeyUsage(client),
		}},
		{"front-proxy-client", aggregator, []siderox509.Option{
			siderox509.CommonName("front-proxy-client"), siderox509.ExtKeyUsage(client),
		}},
	} {
		pem, err := issue(cert.issuer, certificateLifetime, cert.options...)
		if err != nil {
			return fmt.Errorf("failed to generate %s certificate: %w", cert.file, err)
		}

		if err := errors.Join(p.write(cert.file+".crt", pem.Crt), p.write(cert.file+".key", pem.Key)); err != nil {
			return err
		}
	}

	key, err := cluster.ServiceAccount().GetKey()
	if err != nil {
		return fmt.Errorf("error parsing service account key: %w", err)
	}

	encryption, err := encryptionConfig(cluster)
	if err != nil {
		return err
	}

	return errors.Join(
		p.write("ca.crt", machineconfig.ClusterCAs(cfg)),
		p.write("issuing-ca.crt", cluster.IssuingCA().Crt),
		p.write("issuing-ca.key", cluster.IssuingCA().Key),
		p.write("aggregator-ca.crt", cluster.AggregatorCA().Crt),
		p.write("service-account.pub", key.GetPublicKeyPEM()),
		p.write("service-account.key", key.GetPrivateKeyPEM()),
		p.write("encryptionconfig.yaml", encryption),
		p.writeKubeconfig(ca, cluster, "controller-manager", "system:kube-controller-manager"),
		p.writeKubeconfig(ca, cluster, "scheduler", "system:kube-scheduler"),
	)
}

// writeKubeconfig makes a component's kubeconfig for the node's own kube-apiserver.
func (p *Plane) writeKubeconfig(ca *siderox509.CertificateAuthority, cluster config.ClusterConfig, name, user string) error {
	pem, err := issue(ca, certificateLifetime, siderox509.CommonName(user), siderox509.Organization(user),
		siderox509.ExtKeyUsage([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}))
	if err != nil {
		return fmt.Errorf("failed to generate %s certificate: %w", user, err)
	}

	data, err := Kubeconfig("https://"+p.Wire+":6443", "localhost", cluster.IssuingCA().Crt, pem)
	if err != nil {
		return err
	}

	return p.write(name+".kubeconfig", data)
}

// AdminCertificate mints a cluster administrator's client certificate.
func AdminCertificate(ca *siderox509.PEMEncodedCertificateAndKey, name string) (*siderox509.PEMEncodedCertificateAndKey, error) {
	authority, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return nil, fmt.Errorf("error getting Kubernetes CA: %w", err)
	}

	return issue(authority, certificateLifetime, siderox509.CommonName(name), siderox509.Organization("system:masters"),
		siderox509.ExtKeyUsage([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}))
}

// Kubeconfig renders a kubeconfig with one context. serverName is the name that the server's certificate is checked
// against; empty for the host of the server's URL.
func Kubeconfig(server, serverName string, ca []byte, client *siderox509.PEMEncodedCertificateAndKey) ([]byte, error) {
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			"local": {Server: server, TLSServerName: serverName, CertificateAuthorityData: ca},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			"local": {ClientCertificateData: client.Crt, ClientKeyData: client.Key},
		},
		Contexts:       map[string]*clientcmdapi.Context{"local": {Cluster: "local", AuthInfo: "local"}},
		CurrentContext: "local",
	})
}

func issue(ca *siderox509.CertificateAuthority, lifetime time.Duration, options ...siderox509.Option) (*siderox509.PEMEncodedCertificateAndKey, error) {
	pair, err := siderox509.NewKeyPair(ca, append(options,
		siderox509.NotBefore(time.Now().Add(-10*time.Second)),
		siderox509.NotAfter(time.Now().Add(lifetime)),
		siderox509.KeyUsage(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment))...)
	if err != nil {
		return nil, err
	}

	return siderox509.NewCertificateAndKeyFromKeyPair(pair), nil
}

// encryptionConfig is how secrets are encrypted in etcd: with secretbox or aescbc, as the machine config says.
func encryptionConfig(cluster config.ClusterConfig) ([]byte, error) {
	var providers []any

	key := func(kind, name, secret string) {
		providers = append(providers, map[string]any{kind: map[string]any{
			"keys": []any{map[string]any{"name": name, "secret": secret}},
		}})
	}

	if secret := cluster.SecretboxEncryptionSecret(); secret != "" {
		key("secretbox", "key2", secret)
	}

	if secret := cluster.AESCBCEncryptionSecret(); secret != "" {
		key("aescbc", "key1", secret)
	}

	providers = append(providers, map[string]any{"identity": map[string]any{}})

	return json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "EncryptionConfiguration",
		"resources":  []any{map[string]any{"resources": []string{"secrets"}, "providers": providers}},
	})
}

func (p *Plane) path(name string) string { return filepath.Join(p.Dir, name) }

func (p *Plane) write(name string, data []byte) error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}

	return os.WriteFile(p.path(name), data, 0o600)
}
