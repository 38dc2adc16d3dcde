package machine

import (
	"context"
	"fmt"
	"sync"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// eventCapacity is how many events of a boot are kept.
const eventCapacity = 1000

// Events is the stream of Talos runtime events of one boot.
type Events struct {
	mu     sync.Mutex
	events []storedEvent
	next   int
	closed bool
	signal Signal
}

type storedEvent struct {
	index int
	at    time.Time
	event *machineapi.Event
}

// NewEvent wraps a payload as Talos does; a nil payload makes the hello event that opens a stream.
func NewEvent(payload proto.Message, id, actor string) (*machineapi.Event, error) {
	event := &machineapi.Event{Id: id, ActorId: actor, Data: &anypb.Any{}}

	if payload == nil {
		event.Data.TypeUrl = "talos/runtime/"

		return event, nil
	}

	value, err := proto.Marshal(payload)
	if err != nil {
		return nil, err
	}

	event.Data.TypeUrl = "talos/runtime/" + string(payload.ProtoReflect().Descriptor().FullName())
	event.Data.Value = value

	return event, nil
}

// Publish adds an event. actor is the id of the API call that caused it, if one did.
func (e *Events) Publish(payload proto.Message, actor string) {
	e.mu.Lock()
	defer e.mu.Unlock()

	event, err := NewEvent(payload, fmt.Sprintf("%020d", e.next), actor)
	if err != nil {
		return
	}

	e.events = append(e.events, storedEvent{index: e.next, at: time.Now(), event: event})
	e.next++

	if len(e.events) > eventCapacity {
		e.events = e.events[len(e.events)-eventCapacity:]
	}

	e.signal.Notify()
}

// Close ends all streams once they have sent what there is.
func (e *Events) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.closed = true
	e.signal.Notify()
}

// Watch sends past events as the request asks for and then new ones, until ctx or the boot ends.
func (e *Events) Watch(ctx context.Context, request *machineapi.EventsRequest, send func(*machineapi.Event) error) error {
	position := e.start(request)

	for {
		batch, closed, wait := e.after(position)

		for _, stored := range batch {
			position = stored.index + 1

			if request.WithActorId != "" && stored.event.ActorId != request.WithActorId {
				continue
			}

			if err := send(stored.event); err != nil {
				return err
			}
		}

		if closed {
			// A node that goes down breaks its connections; a stream that ended well would be over for its reader.
			return status.Error(codes.Unavailable, "error reading from server: EOF")
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait:
		}
	}
}

func (e *Events) start(request *machineapi.EventsRequest) int {
	e.mu.Lock()
	defer e.mu.Unlock()

	switch {
	case request.TailEvents < 0:
		return 0
	case request.TailEvents > 0:
		return max(e.next-int(request.TailEvents), 0)
	case request.TailId != "":
		for _, stored := range e.events {
			if stored.event.Id == request.TailId {
				return stored.index + 1
			}
		}
	case request.TailSeconds > 0:
		since := time.Now().Add(-time.Duration(request.TailSeconds) * time.Second)
		for _, stored := range e.events {
			if stored.at.After(since) {
				return stored.index
			}
		}
	}

	return e.next
}

func (e *Events) after(position int) (batch []storedEvent, closed bool, wait <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()

	for _, stored := range e.events {
		if stored.index >= position {
			batch = append(batch, stored)
		}
	}

	return batch, e.closed, e.signal.Wait()
}
