// Package host talks to the Pulumi engine that started the plugin.
package host

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Engine sends messages to the engine; they show under the resource they name. Its zero value
// drops them, which serves until an engine attaches.
type Engine struct {
	mutex    sync.Mutex
	client   pulumirpc.EngineClient
	progress map[string]string
}

// Attach connects to the engine at a host:port address.
func (e *Engine) Attach(address string) error {
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)))
	if err != nil {
		return err
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.client = pulumirpc.NewEngineClient(connection)
	return nil
}

const maxMessageBytes = 400 << 20

// Info shows a message that stays.
func (e *Engine) Info(urn, message string) {
	e.log(urn, message, pulumirpc.LogSeverity_INFO, false)
}

// Warn shows a warning that stays.
func (e *Engine) Warn(urn, message string) {
	e.log(urn, message, pulumirpc.LogSeverity_WARNING, false)
}

// Progress shows a message until the next one; "" clears it. A repeated message is not sent again.
func (e *Engine) Progress(urn, message string) {
	e.mutex.Lock()
	if e.progress == nil {
		e.progress = map[string]string{}
	}
	repeated := e.progress[urn] == message
	e.progress[urn] = message
	e.mutex.Unlock()
	if !repeated {
		e.log(urn, message, pulumirpc.LogSeverity_INFO, true)
	}
}

// log never fails an operation: a message that cannot be shown is lost.
func (e *Engine) log(urn, message string, severity pulumirpc.LogSeverity, ephemeral bool) {
	e.mutex.Lock()
	client := e.client
	e.mutex.Unlock()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = client.Log(ctx, &pulumirpc.LogRequest{
		Severity:  severity,
		Message:   strings.ToValidUTF8(message, "?"),
		Urn:       urn,
		Ephemeral: ephemeral,
	})
}

// ExitWithout ends the process within two seconds of the engine's end. A killed engine does not
// stop its plugins, and an orphan would go on changing the cluster beside the next run.
func ExitWithout(address string) {
	refused := 0
	for refused < 2 {
		time.Sleep(600 * time.Millisecond)
		connection, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			refused++
			continue
		}
		_ = connection.Close()
		refused = 0
	}
	os.Exit(1)
}
