package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/oxide-lab/node/internal/hardware"
	"github.com/oxide-lab/node/internal/machine"
)

// maxBody bounds a request; user data is at most 32 KiB.
const maxBody = 1 << 20

// Handler serves the control API.
func (f *Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_lab/health", func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]string{"status": "ok"}) })
	mux.HandleFunc("GET /servers", f.list)
	mux.HandleFunc("GET /servers/{id}", f.withMachine(func(w http.ResponseWriter, _ *http.Request, m *machine.Machine) { reply(w, m.Status()) }))
	mux.HandleFunc("GET /servers/{id}/events", f.withMachine(func(w http.ResponseWriter, _ *http.Request, m *machine.Machine) { reply(w, m.Log()) }))
	mux.HandleFunc("GET /events", f.events)
	mux.HandleFunc("PUT /servers/{id}", f.declare)
	mux.HandleFunc("DELETE /servers/{id}", f.remove)
	mux.HandleFunc("POST /servers/{id}/actions/{action}", f.withMachine(act))
	mux.HandleFunc("GET /load_balancers", func(w http.ResponseWriter, _ *http.Request) { reply(w, f.balancers.Statuses()) })
	mux.HandleFunc("PUT /load_balancers/{id}", f.declareBalancer)
	mux.HandleFunc("DELETE /load_balancers/{id}", f.removeBalancer)
	mux.HandleFunc("POST /faults", f.addFault)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, f.env.Faults.All()) })
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.env.Faults.Clear()
		reply(w, map[string]string{})
	})

	return mux
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value) //nolint:errcheck // the caller is gone
}

func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]string{"error": fmt.Sprintf(format, args...)}) //nolint:errcheck // the caller is gone
}

func (f *Fleet) withMachine(handle func(http.ResponseWriter, *http.Request, *machine.Machine)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			refuse(w, http.StatusBadRequest, "server id %q is not a number", r.PathValue("id"))

			return
		}

		m := f.Get(id)
		if m == nil {
			refuse(w, http.StatusNotFound, "no server %d", id)

			return
		}

		handle(w, r, m)
	}
}

func (f *Fleet) list(w http.ResponseWriter, _ *http.Request) {
	list := []machine.Status{}
	for _, m := range f.All() {
		list = append(list, m.Status())
	}

	reply(w, list)
}

func (f *Fleet) declare(w http.ResponseWriter, r *http.Request) {
	var server hardware.Server
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&server); err != nil {
		refuse(w, http.StatusBadRequest, "not a server: %s", err)

		return
	}

	if strconv.Itoa(server.ID) != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "server id %d does not match the path", server.ID)

		return
	}

	if err := f.Declare(server); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "%s", err)

		return
	}

	if m := f.Get(server.ID); m != nil {
		reply(w, m.Status())
	}
}

func (f *Fleet) remove(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "server id %q is not a number", r.PathValue("id"))

		return
	}

	if err := f.Delete(id); err != nil {
		refuse(w, http.StatusInternalServerError, "%s", err)

		return
	}

	reply(w, map[string]string{})
}

// act presses a server's buttons: hard ones act at once, ACPI ones ask the system.
func act(w http.ResponseWriter, r *http.Request, m *machine.Machine) {
	var err error

	switch action := r.PathValue("action"); action {
	case "poweron":
		err = m.PowerOn()
	case "poweroff":
		err = m.PowerOff()
	case "reset":
		err = m.Restart(true, "")
	case "reboot", "shutdown":
		boot := m.Boot()
		if boot == nil || !boot.Answers() {
			break
		}

		if action == "reboot" {
			boot.Reboot(uuid.NewString(), false)
		} else {
			boot.Shutdown(uuid.NewString(), true)
		}
	default:
		refuse(w, http.StatusNotFound, "no action %q", action)

		return
	}

	if err != nil {
		refuse(w, http.StatusInternalServerError, "%s", err)

		return
	}

	reply(w, m.Status())
}

func (f *Fleet) addFault(w http.ResponseWriter, r *http.Request) {
	var fault machine.Fault
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&fault); err != nil {
		refuse(w, http.StatusBadRequest, "not a fault: %s", err)

		return
	}

	switch {
	case !slices.Contains(machine.FaultKinds, fault.Kind):
		refuse(w, http.StatusUnprocessableEntity, "no fault of kind %q (there are %s)", fault.Kind, strings.Join(machine.FaultKinds, ", "))

		return
	case fault.Server == "":
		refuse(w, http.StatusUnprocessableEntity, "fault %s needs the name of a server, or * for all", fault.Kind)

		return
	case fault.Kind == machine.FaultDead:
		for _, m := range f.All() {
			if fault.Server == "*" || fault.Server == m.Hardware().Name {
				m.Die()
			}
		}
	default:
		f.env.Faults.Add(fault)
	}

	reply(w, map[string]string{})
}

// events shows the journal; ?after=ORDER leaves out what is known already.
func (f *Fleet) events(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64) //nolint:errcheck // all without a number
	reply(w, f.env.Journal.All(after))
}
