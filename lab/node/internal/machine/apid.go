package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	siderox509 "github.com/siderolabs/crypto/x509"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// apiCerts is the node's certificate for the Talos API.
type apiCerts struct {
	mu          sync.Mutex
	key         string
	certificate *tls.Certificate
	pool        *x509.CertPool
}

// apiNames are the names of the API's certificate, as Talos computes them.
func (b *Boot) apiNames() (names []string, ips []net.IP) {
	all := append([]string{b.Hostname(), "127.0.0.1"}, b.Config().Machine().Security().CertSANs()...)
	for _, addr := range b.Addresses() {
		all = append(all, addr.String())
	}

	slices.Sort(all)

	for _, name := range slices.Compact(all) {
		if addr, err := netip.ParseAddr(name); err == nil {
			ips = append(ips, addr.AsSlice())
		} else if name != "" {
			names = append(names, name)
		}
	}

	return names, ips
}

// issuer is the CA that signs the node's certificate: its own on a control plane; on a worker that of a control plane
// behind the cluster endpoint whose trustd accepts the worker's token.
func (b *Boot) issuer() (*siderox509.PEMEncodedCertificateAndKey, error) {
	security := b.Config().Machine().Security()
	if machineconfig.IsControlPlane(b.Config()) {
		if !machineconfig.HasKey(security.IssuingCA()) {
			return nil, errors.New("machine.ca has no key in the machine config")
		}

		return security.IssuingCA(), nil
	}

	machines, err := b.routes(fabric.PortTrustd)
	if err != nil {
		return nil, fmt.Errorf("failed to sign API server CSR: trustd: %w", err)
	}

	for _, m := range machines {
		boot := m.Boot()
		if boot == nil || boot.Config() == nil {
			continue
		}

		offered := boot.Config().Machine().Security()
		accepted := string(machineconfig.AcceptedCAs(b.Config()))

		switch ca := offered.IssuingCA(); {
		case !machineconfig.HasKey(ca) || !strings.Contains(accepted, string(ca.Crt)):
			err = errors.New("tls: failed to verify certificate: x509: certificate signed by unknown authority (machine.ca differs)")
		case offered.Token() != security.Token():
			err = errors.New("rpc error: code = Unauthenticated desc = invalid token (machine.token differs)")
		default:
			return ca, nil
		}

		err = fmt.Errorf("failed to sign API server CSR: trustd of %s: %w", boot.Hostname(), err)
	}

	return nil, err
}

// mintAPI makes the certificate anew if what it depends on has changed.
func (b *Boot) mintAPI() error {
	names, ips := b.apiNames()
	key := fmt.Sprint(names, ips, string(machineconfig.AcceptedCAs(b.Config())))

	b.certs.mu.Lock()
	defer b.certs.mu.Unlock()

	if b.certs.certificate != nil && b.certs.key == key {
		return nil
	}

	ca, err := b.issuer()
	if err != nil {
		return err
	}

	authority, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return fmt.Errorf("failed to parse CA certificate: %w", err)
	}

	pair, err := siderox509.NewKeyPair(authority,
		siderox509.IPAddresses(ips), siderox509.DNSNames(names), siderox509.CommonName(b.Hostname()),
		siderox509.NotAfter(time.Now().Add(siderox509.DefaultCertificateValidityDuration)),
		siderox509.KeyUsage(x509.KeyUsageDigitalSignature),
		siderox509.ExtKeyUsage([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
	if err != nil {
		return fmt.Errorf("failed to generate API server cert: %w", err)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(machineconfig.AcceptedCAs(b.Config()))

	b.certs.key, b.certs.certificate, b.certs.pool = key, pair.Certificate, pool

	return nil
}

// APITLS is the TLS configuration of the API as of now. In maintenance mode the certificate is self-signed and clients
// need none.
func (b *Boot) APITLS() (*tls.Config, error) {
	if b.Maintenance() {
		return b.maintenanceTLS()
	}

	b.certs.mu.Lock()
	defer b.certs.mu.Unlock()

	if b.certs.certificate == nil {
		return nil, errors.New("no API certificate yet")
	}

	return &tls.Config{
		Certificates: []tls.Certificate{*b.certs.certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    b.certs.pool,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
	}, nil
}

func (b *Boot) maintenanceTLS() (*tls.Config, error) {
	b.certs.mu.Lock()
	defer b.certs.mu.Unlock()

	if b.certs.certificate == nil || b.certs.key != "maintenance" {
		authority, err := siderox509.NewSelfSignedCertificateAuthority(siderox509.ECDSA(true))
		if err != nil {
			return nil, err
		}

		var ips []net.IP
		for _, addr := range b.Addresses() {
			ips = append(ips, addr.AsSlice())
		}

		pair, err := siderox509.NewKeyPair(authority, siderox509.IPAddresses(ips), siderox509.CommonName("maintenance-service.talos.dev"),
			siderox509.NotAfter(time.Now().Add(siderox509.DefaultCertificateValidityDuration)))
		if err != nil {
			return nil, err
		}

		b.certs.certificate, b.certs.key = pair.Certificate, "maintenance"
	}

	return &tls.Config{Certificates: []tls.Certificate{*b.certs.certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}, nil
}

// runAPI gets the certificate and serves; later it keeps the certificate in line with config and addresses.
func (b *Boot) runAPI(ctx context.Context) {
	b.Services.Set("apid", ServiceWaiting, "Waiting for api certificates")

	serving := false

	for {
		change := b.changed.Wait()
		err := b.mintAPI()

		if err == nil && !serving {
			serving = true

			b.serve(false)
		}

		if err != nil {
			b.waitsFor("apid", err.Error())
		} else {
			b.waitsFor("apid", "")
		}

		if !b.waitOn(ctx, change, 3*time.Second) {
			return
		}
	}
}

func (b *Boot) serve(maintenance bool) {
	if err := b.api.Serve(maintenance); err != nil {
		b.waitsFor("apid", err.Error())

		return
	}

	b.mu.Lock()
	b.serving = true
	b.mu.Unlock()

	b.machine.Note("apid", "Talos API answers")

	if !maintenance {
		b.Services.Set("apid", ServiceRunning, started("apid", 1900))
		b.Services.SetHealth("apid", true, "Health check successful")
	}

	b.changed.Notify()
}
