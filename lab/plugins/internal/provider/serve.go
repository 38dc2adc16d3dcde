package provider

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// How often the engine's address is tried, and how many failures in a row mean that it is gone.
const (
	engineInterval = 400 * time.Millisecond
	engineFailures = 3
)

// Main serves the plugin until the engine goes away or the process is told to end. It prints the
// port it listens on as its first line; the engine's address is the first argument.
func Main(spec *Spec) {
	if err := serve(spec, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s: %v\n", spec.Name, err)
		os.Exit(1)
	}
}

func serve(spec *Spec, args []string) error {
	if len(args) > 0 && (args[0] == "-version" || args[0] == "--version") {
		fmt.Println(spec.Version)
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := New(spec)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(srv *grpc.Server) error {
		pulumirpc.RegisterResourceProviderServer(srv, server)
		return nil
	}})
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	if len(args) > 0 {
		if err := server.attach(args[0]); err != nil {
			return err
		}
		go watch(args[0], func() { close(gone) })
	}
	fmt.Println(handle.Port)
	select {
	case err = <-handle.Done:
		return err
	case <-gone:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// watch calls gone once nothing listens at the address any more. A plugin that outlives a killed
// engine would go on changing things that a new run is changing too.
func watch(address string, gone func()) {
	failed := 0
	for failed < engineFailures {
		conn, err := net.DialTimeout("tcp", address, engineInterval)
		if err != nil {
			failed++
		} else {
			failed = 0
			_ = conn.Close()
		}
		time.Sleep(engineInterval)
	}
	gone()
}
