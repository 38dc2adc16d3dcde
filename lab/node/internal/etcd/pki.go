// Package etcd runs one real etcd member of a control plane node and speaks to the members.
package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	siderox509 "github.com/siderolabs/crypto/x509"
)

// certificateLifetime is that of Talos' own etcd certificates.
const certificateLifetime = 365 * 24 * time.Hour

// PKI is the directory with a member's certificates.
type PKI struct{ Dir string }

func (p PKI) path(name string) string { return filepath.Join(p.Dir, name) }

// CA is the file with the CA certificate.
func (p PKI) CA() string { return p.path("ca.crt") }

// ClientCert is the file with kube-apiserver's client certificate.
func (p PKI) ClientCert() string { return p.path("client.crt") }

// ClientKey is the file with kube-apiserver's client key.
func (p PKI) ClientKey() string { return p.path("client.key") }

// Write mints the certificates of a member from the cluster's etcd CA.
func (p PKI) Write(ca *siderox509.PEMEncodedCertificateAndKey, hostname string, addresses []string) error {
	if ca == nil || len(ca.Key) == 0 {
		return errors.New("cluster.etcd.ca has no private key in the machine config")
	}

	authority, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return fmt.Errorf("failed to parse etcd CA: %w", err)
	}

	ips := []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, address := range addresses {
		ips = append(ips, net.ParseIP(address))
	}

	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	names := siderox509.DNSNames([]string{"localhost", hostname})

	for name, options := range map[string][]siderox509.Option{
		"server": {siderox509.IPAddresses(ips), names, siderox509.CommonName(hostname), siderox509.ExtKeyUsage(both)},
		"peer":   {siderox509.IPAddresses(ips), names, siderox509.CommonName(hostname), siderox509.ExtKeyUsage(both)},
		"client": {siderox509.CommonName("kube-apiserver"), siderox509.ExtKeyUsage(both[1:])},
		"admin":  {siderox509.CommonName("talos"), siderox509.ExtKeyUsage(both[1:])},
	} {
		pair, err := siderox509.NewKeyPair(authority, append(options,
			siderox509.NotAfter(time.Now().Add(certificateLifetime)),
			siderox509.KeyUsage(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment))...)
		if err != nil {
			return fmt.Errorf("failed to generate etcd %s certificate: %w", name, err)
		}

		pem := siderox509.NewCertificateAndKeyFromKeyPair(pair)
		if err := p.write(name+".crt", pem.Crt); err != nil {
			return err
		}

		if err := p.write(name+".key", pem.Key); err != nil {
			return err
		}
	}

	return p.write("ca.crt", ca.Crt)
}

func (p PKI) write(name string, data []byte) error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}

	return os.WriteFile(p.path(name), data, 0o600)
}

func (p PKI) tlsConfig() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(p.path("admin.crt"), p.path("admin.key"))
	if err != nil {
		return nil, err
	}

	ca, err := os.ReadFile(p.CA())
	if err != nil {
		return nil, err
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)

	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
