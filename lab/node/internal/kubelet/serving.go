package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/util/certificate/csr"
)

// askForServingCertificate asks once for the certificate with which a kubelet serves logs and metrics. As on real nodes nobody
// signs it before somebody approves it, and the node is Ready without.
func (k *Kubelet) askForServingCertificate(ctx context.Context) error {
	s := k.Settings()
	asked := filepath.Join(k.Dir, "serving-certificate-asked")

	if _, err := os.Stat(asked); err == nil || !s.ServingCertificate {
		return nil
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}

	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + s.NodeName},
		DNSNames:    []string{s.NodeName},
		IPAddresses: []net.IP{net.ParseIP(s.NodeIP)},
	}, key)
	if err != nil {
		return err
	}

	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}

	if _, _, err := csr.RequestCertificateWithContext(ctx, k.client, request, "", certificatesv1.KubeletServingSignerName, nil, usages, key); err != nil {
		return err
	}

	return os.WriteFile(asked, nil, 0o600)
}
