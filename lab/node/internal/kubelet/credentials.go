package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/client-go/util/keyutil"
)

// bootstrapTimeout bounds the wait for a signed certificate, so that a changed config is noticed.
const bootstrapTimeout = time.Minute

func (k *Kubelet) base() *rest.Config {
	return &rest.Config{
		Host:            k.Access.Endpoint,
		TLSClientConfig: rest.TLSClientConfig{CAData: k.Access.CA},
		Dial:            k.Access.Dial,
		UserAgent:       "kubelet/" + k.Settings().Version,
		Timeout:         0,
		QPS:             20,
		Burst:           40,
	}
}

// credentials returns the kubelet's own access: with the certificate of an earlier run, or with a new one that the
// bootstrap token gets signed, as a real kubelet does.
func (k *Kubelet) credentials(ctx context.Context) (*rest.Config, error) {
	certFile, keyFile := filepath.Join(k.Dir, "kubelet-client.crt"), filepath.Join(k.Dir, "kubelet-client.key")

	if !usable(certFile, keyFile, k.Settings().NodeName) {
		cert, key, err := k.bootstrap(ctx)
		if err != nil {
			return nil, err
		}

		if err := errors.Join(os.MkdirAll(k.Dir, 0o700), os.WriteFile(keyFile, key, 0o600), os.WriteFile(certFile, cert, 0o600)); err != nil {
			return nil, err
		}
	}

	config := k.base()
	config.CertFile, config.KeyFile = certFile, keyFile

	return config, nil
}

func usable(certFile, keyFile, node string) bool {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return false
	}

	leaf, err := x509.ParseCertificate(pair.Certificate[0])

	return err == nil && time.Now().Before(leaf.NotAfter) && leaf.Subject.CommonName == "system:node:"+node
}

func (k *Kubelet) bootstrap(ctx context.Context) (cert, keyPEM []byte, err error) {
	config := k.base()
	config.BearerToken = k.Access.Token

	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}

	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, nil, err
	}

	node := k.Settings().NodeName

	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + node},
	}, key)
	if err != nil {
		return nil, nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, bootstrapTimeout)
	defer cancel()

	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})

	name, uid, err := csr.RequestCertificateWithContext(ctx, client, request, "", certificatesv1.KubeAPIServerClientKubeletSignerName, nil,
		[]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to run Kubelet: cannot create certificate signing request: %w", err)
	}

	cert, err = csr.WaitForCertificate(ctx, client, name, uid)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to run Kubelet: certificate signing request %s: %w", name, err)
	}

	return cert, keyPEM, nil
}
