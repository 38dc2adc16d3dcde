package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const asPlugin = "RUN_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		if err := run(os.Args[1:]); err != nil {
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func TestPluginPrintsItsPortAndEndsWithTheEngine(t *testing.T) {
	engine, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plugin := exec.Command(os.Args[0], engine.Addr().String())
	plugin.Env = append(os.Environ(), asPlugin+"=1")
	output, err := plugin.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := plugin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plugin.Process.Kill() })
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the plugin printed %q", line)
	}
	connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.Close()

	ended := make(chan error, 1)
	go func() { ended <- plugin.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("the plugin ended while the engine was there: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	_ = engine.Close()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("the plugin outlives its engine")
	}
}
