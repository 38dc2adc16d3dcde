package hcloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"oxide.lab/plugins/internal/provider"
)

const serverURN = "urn:pulumi:s::p::hcloud:index/server:Server::node"

// api is a server API that knows one server; it keeps the bodies of requests.
type api struct {
	bodies map[string]map[string]any
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1")
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	a.bodies[path] = body
	const (
		done   = `{"id":1,"status":"success","progress":100,"command":"x","resources":[]}`
		kind   = `{"id":1,"name":"cx33","cores":4,"memory":8,"disk":80,"architecture":"x86","locations":[],"prices":[]}`
		server = `{"id":1001,"name":"node","status":"running","server_type":` + kind + `,
			"location":{"id":1,"name":"nbg1"},"image":{"id":9,"type":"snapshot","architecture":"x86","labels":{}},
			"labels":{"a":"b"},"primary_disk_size":80,"protection":{"delete":false,"rebuild":false},
			"public_net":{"ipv4":{"id":3,"ip":"192.0.2.1"},"ipv6":{"id":4,"ip":"2001:db8::/64"},"firewalls":[{"id":5,"status":"applied"}]},
			"private_net":[{"network":2,"ip":"10.0.0.11","alias_ips":[],"mac_address":"86:00"}]}`
	)
	w.Header().Set("Content-Type", "application/json")
	switch path {
	case "GET /server_types":
		fmt.Fprintf(w, `{"server_types":[%s]}`, kind)
	case "GET /images/9":
		fmt.Fprint(w, `{"image":{"id":9,"type":"snapshot","architecture":"x86","labels":{}}}`)
	case "POST /servers":
		if body["name"] == "taken" {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error":{"code":"uniqueness_error","message":"server name is already used"}}`)
			return
		}
		fmt.Fprintf(w, `{"server":%s,"action":%s,"next_actions":[%s]}`, server, done, done)
	case "POST /servers/1001/actions/attach_to_network", "POST /servers/1001/actions/change_protection":
		fmt.Fprintf(w, `{"action":%s}`, done)
	case "GET /actions":
		fmt.Fprintf(w, `{"actions":[%s]}`, done)
	case "GET /servers/1001", "PUT /servers/1001":
		fmt.Fprintf(w, `{"server":%s}`, server)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":"not_found","message":"server not found"}}`)
	}
}

func start(t *testing.T) (*provider.Server, *api) {
	t.Helper()
	fake := &api{bodies: map[string]map[string]any{}}
	listener := httptest.NewServer(fake)
	t.Cleanup(listener.Close)
	server := provider.New(Spec())
	_, err := server.Configure(t.Context(), &pulumirpc.ConfigureRequest{Args: pack(t, map[string]any{
		"token": strings.Repeat("x", 64), "endpoint": listener.URL + "/v1", "pollInterval": "1ms",
	})})
	if err != nil {
		t.Fatal(err)
	}
	return server, fake
}

func pack(t *testing.T, values map[string]any) *structpb.Struct {
	t.Helper()
	props, err := plugin.MarshalProperties(resource.NewPropertyMapFromMap(values),
		plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true})
	if err != nil {
		t.Fatal(err)
	}
	return props
}

func wanted(more map[string]any) map[string]any {
	out := map[string]any{
		"name": "node", "serverType": "cx33", "image": "9", "location": "nbg1", "userData": "machine config",
		"labels": map[string]any{"a": "b"}, "firewallIds": []any{5},
		"networks": []any{map[string]any{"subnetId": "2-10.0.0.0/24", "ip": "10.0.0.11"}},
	}
	for key, value := range more {
		out[key] = value
	}
	return out
}

func checked(t *testing.T, s *provider.Server, news map[string]any) *structpb.Struct {
	t.Helper()
	resp, err := s.Check(t.Context(), &pulumirpc.CheckRequest{Urn: serverURN, News: pack(t, news)})
	if err != nil || len(resp.GetFailures()) > 0 {
		t.Fatal(err, resp.GetFailures())
	}
	return resp.GetInputs()
}

func created(t *testing.T, s *provider.Server) *structpb.Struct {
	t.Helper()
	resp, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: serverURN, Properties: checked(t, s, wanted(nil))})
	if err != nil || resp.GetId() != "1001" {
		t.Fatal(resp, err)
	}
	return resp.GetProperties()
}

func TestServerIsCreatedWithItsFirewallsAndAttachedToItsSubnet(t *testing.T) {
	s, fake := start(t)
	state := created(t, s).GetFields()
	body := fake.bodies["POST /servers"]
	if body["user_data"] != "machine config" || fmt.Sprint(body["firewalls"]) != "[map[firewall:5]]" {
		t.Errorf("request %v", body)
	}
	attach := fake.bodies["POST /servers/1001/actions/attach_to_network"]
	if attach["ip_range"] != "10.0.0.0/24" || attach["ip"] != "10.0.0.11" || attach["network"] != float64(2) {
		t.Errorf("attachment %v", attach)
	}
	for key, want := range map[string]string{
		"userData": userDataHash("machine config"), "ipv4Address": "192.0.2.1", "ipv6Address": "2001:db8::1", "image": "9",
	} {
		if got := state[key].GetStringValue(); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
}

func TestServerChangesInPlaceOrByReplacementAsTheOfficialProviderSays(t *testing.T) {
	s, _ := start(t)
	state := created(t, s)
	cases := map[string]struct {
		change   map[string]any
		diffs    string
		replaces string
	}{
		"nothing":     {nil, "[]", "[]"},
		"labels":      {map[string]any{"labels": map[string]any{"a": "c"}}, "[labels]", "[]"},
		"server type": {map[string]any{"serverType": "cx43"}, "[serverType]", "[]"},
		"user data":   {map[string]any{"userData": "other"}, "[userData]", "[userData]"},
		"image":       {map[string]any{"image": "10"}, "[image]", "[image]"},
		"location":    {map[string]any{"location": "fsn1"}, "[location]", "[location]"},
		"address": {map[string]any{"networks": []any{map[string]any{"subnetId": "2-10.0.0.0/24", "ip": "10.0.0.12"}}},
			"[networks]", "[]"},
		"firewalls": {map[string]any{"firewallIds": []any{5, 6}}, "[firewallIds]", "[]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			resp, err := s.Diff(t.Context(), &pulumirpc.DiffRequest{
				Urn: serverURN, Id: "1001", Olds: state, News: checked(t, s, wanted(c.change)),
			})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(resp.GetDiffs()) != c.diffs || fmt.Sprint(resp.GetReplaces()) != c.replaces {
				t.Errorf("diffs %v, replaces %v", resp.GetDiffs(), resp.GetReplaces())
			}
			if resp.GetDeleteBeforeReplace() != (c.replaces != "[]") {
				t.Error("a fixed name must be freed before it is used again")
			}
		})
	}
}

func TestServerRefusesContradictoryNetworks(t *testing.T) {
	s, _ := start(t)
	for text, networks := range map[string][]any{
		"must specify either network_id or subnet_id": {map[string]any{"ip": "10.0.0.1"}},
		"outside subnet IP range":                     {map[string]any{"subnetId": "2-10.0.0.0/24", "ip": "10.0.1.1"}},
		"does not belong to the specified network_id": {map[string]any{"subnetId": "2-10.0.0.0/24", "networkId": 3}},
		"each network once":                           {map[string]any{"subnetId": "2-10.0.0.0/24"}, map[string]any{"networkId": 2}},
	} {
		_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{
			Urn: serverURN, Preview: true, Properties: checked(t, s, wanted(map[string]any{"networks": networks})),
		})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v\ninstead of %q", err, text)
		}
	}
}

func TestApiErrorsCarryTheirCode(t *testing.T) {
	s, _ := start(t)
	_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{
		Urn: serverURN, Properties: checked(t, s, wanted(map[string]any{"name": "taken"})),
	})
	if err == nil || err.Error() != "1 error occurred:\n\t* server name is already used (uniqueness_error)\n\n" {
		t.Errorf("%q", err)
	}
}

func TestDeletingAGoneServerFailsAsWithTheOfficialProvider(t *testing.T) {
	s, _ := start(t)
	_, err := s.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: serverURN, Id: "77", Properties: pack(t, wanted(nil))})
	if err == nil || !strings.Contains(err.Error(), "server not found (not_found)") {
		t.Errorf("%v", err)
	}
	resp, err := s.Read(t.Context(), &pulumirpc.ReadRequest{Urn: serverURN, Id: "77", Properties: pack(t, wanted(nil))})
	if err != nil || resp.GetId() != "" {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestImportedServerKnowsNeitherUserDataNorNetworks(t *testing.T) {
	s, _ := start(t)
	resp, err := s.Read(t.Context(), &pulumirpc.ReadRequest{Urn: serverURN, Id: "1001"})
	if err != nil {
		t.Fatal(err)
	}
	inputs := resp.GetInputs().GetFields()
	if inputs["name"].GetStringValue() != "node" || inputs["image"].GetStringValue() != "9" {
		t.Errorf("inputs %v", inputs)
	}
	if inputs["userData"] != nil || inputs["networks"] != nil || inputs["status"] != nil {
		t.Errorf("inputs hold what cannot be read or set: %v", inputs)
	}
}

func TestTokenMustHaveItsLength(t *testing.T) {
	s, _ := start(t)
	resp, err := s.CheckConfig(t.Context(), &pulumirpc.CheckRequest{
		Urn: "urn:pulumi:s::p::pulumi:providers:hcloud::default", News: pack(t, map[string]any{"token": "short"}),
	})
	if err != nil || len(resp.GetFailures()) != 1 ||
		!strings.Contains(resp.GetFailures()[0].GetReason(), "must be exactly 64 characters long") {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestFirewallAddressesTakeTheFormOfTheApi(t *testing.T) {
	for given, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:DB8::1": "2001:db8::1/128", "::/0": "::/0", "x": "x",
	} {
		if got := normalRange(given); got != want {
			t.Errorf("%s became %s, want %s", given, got, want)
		}
	}
	if checkRange(resource.NewProperty("10.0.0.1/8")) == nil || checkRange(resource.NewProperty("x")) == nil {
		t.Error("accepted host bits or nonsense")
	}
}

func TestSubnetIDsAreNetworkAndRange(t *testing.T) {
	network, ipRange, err := parseSubnetID("12-10.0.0.0/24")
	if err != nil || network.ID != 12 || ipRange.String() != "10.0.0.0/24" {
		t.Errorf("%v %v %v", network, ipRange, err)
	}
	for _, bad := range []string{"", "12", "x-10.0.0.0/24", "12-10.0.0.0"} {
		if _, _, err := parseSubnetID(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
