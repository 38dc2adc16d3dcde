package provider

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"oxide.lab/plugins/internal/schema"
)

const urn = "urn:pulumi:s::p::toy:index/thing:Thing::t"

type thing = map[string]any

func toy(change func(*Resource)) *Server {
	res := &Resource{
		Properties: schema.Properties{
			"name": schema.Req(schema.String), "color": schema.Opt(schema.String).Replacing(),
			"size": schema.Opt(schema.Int), "data": schema.Opt(schema.String), "address": schema.Out(schema.String),
		},
		Create: func(_ context.Context, op *Operation) (string, resource.PropertyMap, error) {
			out := op.Plan.Map.Copy()
			out["address"] = schema.Text("a")
			return "7", out, nil
		},
		Read: func(_ context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
			return id, state, nil
		},
		Update: func(_ context.Context, _ string, op *Operation) (resource.PropertyMap, error) {
			return op.Plan.Map, nil
		},
		Delete: func(context.Context, string, *Operation) error { return nil },
	}
	if change != nil {
		change(res)
	}
	return New(&Spec{Name: "toy", Version: "1.2.3", Resources: map[string]*Resource{"toy:index/thing:Thing": res}})
}

func pack(t *testing.T, values thing) *structpb.Struct {
	t.Helper()
	props, err := encode(resource.NewPropertyMapFromMap(values))
	if err != nil {
		t.Fatal(err)
	}
	return props
}

func unpack(t *testing.T, props *structpb.Struct) resource.PropertyMap {
	t.Helper()
	values, err := decode(props)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func check(t *testing.T, s *Server, olds, news thing) resource.PropertyMap {
	t.Helper()
	resp, err := s.Check(t.Context(), &pulumirpc.CheckRequest{
		Urn: urn, Olds: pack(t, olds), News: pack(t, news), RandomSeed: []byte("seed"),
	})
	if err != nil || len(resp.GetFailures()) > 0 {
		t.Fatal(err, resp.GetFailures())
	}
	return unpack(t, resp.GetInputs())
}

func TestPreviewOfACreationCallsNobodyAndLeavesOutputsUnknown(t *testing.T) {
	s := toy(func(r *Resource) {
		r.Create = func(context.Context, *Operation) (string, resource.PropertyMap, error) {
			t.Error("created in a preview")
			return "", nil, nil
		}
	})
	resp, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn, Preview: true, Properties: pack(t, thing{"name": "n"})})
	if err != nil || resp.GetId() != "" || !unpack(t, resp.GetProperties())["address"].IsComputed() {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestIncompleteCreationIsRecordedByClassicResourcesOnly(t *testing.T) {
	broken := func(r *Resource) {
		r.Create = func(context.Context, *Operation) (string, resource.PropertyMap, error) {
			return "7", nil, errors.New("no luck (conflict)")
		}
	}
	_, err := toy(broken).Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn, Properties: pack(t, thing{"name": "n"})})
	details := rpcerror.Convert(err).Details()
	if len(details) != 1 {
		t.Fatalf("details of %v: %v", err, details)
	}
	failed, ok := details[0].(*pulumirpc.ErrorResourceInitFailed)
	if !ok || failed.GetId() != "7" || unpack(t, failed.GetProperties())["name"].StringValue() != "n" {
		t.Errorf("recorded %v", details[0])
	}
	if !strings.Contains(failed.GetReasons()[0], "no luck (conflict)") {
		t.Errorf("reasons %v", failed.GetReasons())
	}
	newer := func(r *Resource) { broken(r); r.Framework = true }
	_, err = toy(newer).Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn, Properties: pack(t, thing{"name": "n"})})
	if _, recorded := rpcerror.FromError(err); err == nil || recorded {
		t.Errorf("the newer kind recorded something: %v", err)
	}
}

func TestFixedNamesAreDeletedBeforeTheyAreReplaced(t *testing.T) {
	diff := func(s *Server, news resource.PropertyMap) *pulumirpc.DiffResponse {
		props, _ := encode(news)
		resp, err := s.Diff(t.Context(), &pulumirpc.DiffRequest{
			Urn: urn, Id: "7", Olds: pack(t, thing{"name": news["name"].StringValue(), "color": "red"}), News: props,
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	s := toy(nil)
	fixed := diff(s, check(t, s, nil, thing{"name": "n", "color": "blue"}))
	if len(fixed.GetReplaces()) != 1 || fixed.GetReplaces()[0] != "color" || !fixed.GetDeleteBeforeReplace() {
		t.Errorf("fixed name: %v", fixed)
	}
	if chosen := diff(s, check(t, s, nil, thing{"color": "blue"})); chosen.GetDeleteBeforeReplace() {
		t.Error("a name that the plugin chose was deleted first")
	}
	newer := toy(func(r *Resource) { r.Framework = true })
	if resp := diff(newer, check(t, newer, nil, thing{"name": "n", "color": "blue"})); resp.GetDeleteBeforeReplace() {
		t.Error("the newer kind was deleted first")
	}
}

func TestChosenNamesStay(t *testing.T) {
	s := toy(nil)
	first := check(t, s, nil, thing{})
	name := first["name"].StringValue()
	if !strings.HasPrefix(name, "t-") || len(name) != len("t-")+7 {
		t.Errorf("name %q", name)
	}
	if again := check(t, s, thing{"name": name, "__defaults": []any{"name"}}, thing{}); again["name"].StringValue() != name {
		t.Errorf("second name %q, first %q", again["name"].StringValue(), name)
	}
}

func TestIgnoredChangesDoNotShowAndDoNotReachTheState(t *testing.T) {
	s := toy(nil)
	req := &pulumirpc.DiffRequest{
		Urn: urn, Id: "7", Olds: pack(t, thing{"name": "n", "color": "red"}),
		News: pack(t, thing{"name": "n", "color": "blue"}), IgnoreChanges: []string{"color"},
	}
	resp, err := s.Diff(t.Context(), req)
	if err != nil || resp.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("%v, %v", resp, err)
	}
	update, err := s.Update(t.Context(), &pulumirpc.UpdateRequest{
		Urn: urn, Id: "7", Olds: req.Olds, News: req.News, IgnoreChanges: req.IgnoreChanges,
	})
	if err != nil || unpack(t, update.GetProperties())["color"].StringValue() != "red" {
		t.Errorf("%v, %v", update, err)
	}
}

func TestOutputsAreAsSecretAsTheirInputs(t *testing.T) {
	props, _ := encode(resource.PropertyMap{
		"name": schema.Text("n"), "data": resource.MakeSecret(schema.Text("d")),
	})
	resp, err := toy(nil).Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn, Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	out := unpack(t, resp.GetProperties())
	if !out["data"].IsSecret() || out["name"].IsSecret() {
		t.Errorf("outputs %v", out)
	}
}

func TestMissingResourcesReadAsGoneAndDeleteWithoutError(t *testing.T) {
	s := toy(func(r *Resource) {
		r.Read = func(_ context.Context, id string, _ resource.PropertyMap) (string, resource.PropertyMap, error) {
			return id, nil, ErrGone
		}
		r.Delete = func(context.Context, string, *Operation) error { return ErrGone }
	})
	state := pack(t, thing{"name": "n"})
	if resp, err := s.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urn, Id: "7", Properties: state}); err != nil || resp.GetId() != "" {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := s.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: urn, Id: "7", Properties: state}); err != nil {
		t.Error(err)
	}
}

func TestWatchEndsSoonAfterTheEngine(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go watch(listener.Addr().String(), func() { close(gone) })
	select {
	case <-gone:
		t.Fatal("gave up on a living engine")
	case <-time.After(time.Second):
	}
	_ = listener.Close()
	select {
	case <-gone:
	case <-time.After(2 * time.Second):
		t.Error("still running 2 s after the engine went away")
	}
}
