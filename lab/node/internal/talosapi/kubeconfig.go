package talosapi

import (
	"crypto/x509"
	"fmt"
	"time"

	siderox509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// adminKubeconfig is the kubeconfig that Talos hands out: it names the cluster endpoint of the machine config.
func adminKubeconfig(cluster config.ClusterConfig) ([]byte, error) {
	authority, err := siderox509.NewCertificateAuthorityFromCertificateAndKey(cluster.IssuingCA())
	if err != nil {
		return nil, fmt.Errorf("error getting Kubernetes CA: %w", err)
	}

	pair, err := siderox509.NewKeyPair(authority,
		siderox509.CommonName(cluster.AdminKubeconfig().CommonName()),
		siderox509.Organization(cluster.AdminKubeconfig().CertOrganization()),
		siderox509.NotBefore(time.Now().Add(-10*time.Second)),
		siderox509.NotAfter(time.Now().Add(cluster.AdminKubeconfig().CertLifetime())),
		siderox509.KeyUsage(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment),
		siderox509.ExtKeyUsage([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}))
	if err != nil {
		return nil, fmt.Errorf("error generating Kubernetes client certificate: %w", err)
	}

	var ca []byte
	for _, accepted := range cluster.AcceptedCAs() {
		ca = append(ca, accepted.Crt...)
	}

	client := siderox509.NewCertificateAndKeyFromKeyPair(pair)
	name := "admin@" + cluster.Name()

	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			cluster.Name(): {Server: cluster.Endpoint().String(), CertificateAuthorityData: append(ca, cluster.IssuingCA().Crt...)},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: client.Crt, ClientKeyData: client.Key}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: cluster.Name(), Namespace: "default", AuthInfo: name}},
		CurrentContext: name,
	})
}
