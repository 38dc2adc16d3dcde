package talos

import (
	"context"
	"errors"
	"fmt"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"

	"oxide.lab/plugins/internal/provider"
)

// resetOnDestroy wipes the node where the program asked for that.
func resetOnDestroy(ctx context.Context, _ string, op *provider.Operation) error {
	wish, ok := op.State.Object("onDestroy")
	if !ok || !wish.Bool("reset") {
		return nil
	}
	if _, ok := op.State.Object("clientConfiguration"); !ok {
		return &provider.Summary{
			Title: "Client configuration issue during destroy",
			Detail: "both client_configuration and client_configuration_wo are null\n\nNote: If you're using " +
				"client_configuration_wo (write-only), it's not available during destroy. Use client_configuration " +
				"instead if you need on_destroy.reset functionality.",
		}
	}
	target, err := nodeOf(op.State, op.State)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(op.State, "delete"))
	defer cancel()
	request := &machineapi.ResetRequest{
		Graceful: wish.Bool("graceful"),
		Reboot:   wish.Bool("reboot"),
		SystemPartitionsToWipe: []*machineapi.ResetPartitionSpec{
			{Label: "STATE", Wipe: true}, {Label: "EPHEMERAL", Wipe: true},
		},
	}
	err = target.do(ctx, func(ctx context.Context, c *client.Client) error { return reset(ctx, c, request) })
	if err == nil && request.Reboot {
		err = target.awaitMaintenance(ctx)
	}
	if err != nil {
		return failed("Error resetting machine", err)
	}
	return nil
}

// reset asks for the reset and follows it until the node has stopped its services.
func reset(ctx context.Context, c *client.Client, request *machineapi.ResetRequest) error {
	events := make(chan client.EventResult)
	if err := c.EventsWatchV2(ctx, events); err != nil {
		return err
	}
	resp, err := c.ResetGenericWithResponse(ctx, request)
	if err != nil {
		return err
	}
	if len(resp.GetMessages()) == 0 {
		return errors.New("no messages returned from action run")
	}
	actor := resp.GetMessages()[0].GetActorId()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case result := <-events:
			if result.Error != nil {
				return awaitSilence(ctx, c, result.Error)
			}
			if stopped, err := outcome(result.Event, actor); stopped || err != nil {
				return err
			}
		}
	}
}

// outcome reads one event of the reset.
func outcome(event client.Event, actor string) (stopped bool, err error) {
	if actor != "" && event.ActorID != actor {
		return false, nil
	}
	switch payload := event.Payload.(type) {
	case *machineapi.SequenceEvent:
		if payload.GetError() != nil {
			return false, fmt.Errorf("%s", payload.GetError().GetMessage())
		}
	case *machineapi.TaskEvent:
		return payload.GetTask() == "stopAllServices", nil
	}
	return false, nil
}

// awaitSilence takes a broken event stream as success once the node does not answer any more.
func awaitSilence(ctx context.Context, c *client.Client, broken error) error {
	for range 10 {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := c.Version(short)
		cancel()
		if err != nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return broken
}

// awaitMaintenance waits until the node is back without a configuration.
func (n node) awaitMaintenance(ctx context.Context) error {
	for {
		c, err := n.maintenance(client.WithNode(ctx, n.name))
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Second):
		}
	}
}
