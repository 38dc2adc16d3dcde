// Command pulumi-resource-kubernetes is the lab's stand-in for the official Pulumi plugin of that
// name: Helm releases and plain Kubernetes objects, with the official inputs, outputs and rules.
package main

import (
	"fmt"
	"io"
	"net"
	"os"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"

	"github.com/oxide-lab/kubernetes-plugin/internal/host"
	"github.com/oxide-lab/kubernetes-plugin/internal/server"
)

// version is the official plugin's version that this one stands in for; a build may stamp another.
var version = "4.34.2"

const maxMessageBytes = 400 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-kubernetes: %v\n", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	// The engine shows whatever a plugin prints; client libraries print for their own sake.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	engine := &host.Engine{}
	if len(arguments) > 0 {
		address := arguments[len(arguments)-1]
		if err := engine.Attach(address); err != nil {
			return err
		}
		go host.ExitWithout(address)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	rpc := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes))
	pulumirpc.RegisterResourceProviderServer(rpc, server.New(version, engine))

	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if discard, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = discard
	}
	return rpc.Serve(listener)
}
