package server

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// apiServer starts etcd and a Kubernetes API server, both of the lab, and gives a kubeconfig. Nothing
// else of a control plane runs, so Pods are never made. Without the lab's binaries the test is skipped.
func apiServer(t *testing.T) string {
	t.Helper()
	etcd := labBinary(t, "bin/etcd")
	kubernetes := labBinary(t, "kubernetes/*/kube-apiserver")
	directory := t.TempDir()
	key := filepath.Join(directory, "sa.key")
	writeKey(t, key)
	tokens := filepath.Join(directory, "tokens.csv")
	if err := os.WriteFile(tokens, []byte("token,admin,1,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, peer := freeAddress(t), freeAddress(t)
	start(t, etcd,
		"--data-dir", filepath.Join(directory, "etcd"), "--log-level", "error",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "default=http://"+peer)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	start(t, kubernetes,
		"--etcd-servers", "http://"+client, "--bind-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", directory, "--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none",
		"--disable-admission-plugins", "ServiceAccount", "--allow-privileged")
	waitReady(t, "https://"+address+"/readyz")
	return kubeconfig("https://"+address, "token")
}

func labBinary(t *testing.T, pattern string) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join("../../../../.lab", pattern))
	if len(found) == 0 {
		t.Skipf("the lab's %s is not built", filepath.Base(pattern))
	}
	path, err := filepath.Abs(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func start(t *testing.T, path string, arguments ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, arguments...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			tail, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", filepath.Base(path), tail[max(0, len(tail)-2000):])
		}
		_ = log.Close()
	})
}

func waitReady(t *testing.T, url string) {
	t.Helper()
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	var problem error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer token")
		response, err := client.Do(request)
		if problem = err; err != nil {
			continue
		}
		_ = response.Body.Close()
		if problem = fmt.Errorf("%s", response.Status); response.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("the API server did not become ready: %v", problem)
}
