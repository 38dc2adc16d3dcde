package control

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/oxide-lab/node/internal/balancer"
)

func (f *Fleet) declareBalancer(w http.ResponseWriter, r *http.Request) {
	var spec balancer.Spec
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&spec); err != nil {
		refuse(w, http.StatusBadRequest, "not a load balancer: %s", err)

		return
	}

	if strconv.Itoa(spec.ID) != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "load balancer id %d does not match the path", spec.ID)

		return
	}

	if err := f.balancers.Declare(spec); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "%s", err)

		return
	}

	reply(w, map[string]string{})
}

func (f *Fleet) removeBalancer(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "load balancer id %q is not a number", r.PathValue("id"))

		return
	}

	if err := f.balancers.Delete(id); err != nil {
		refuse(w, http.StatusInternalServerError, "%s", err)

		return
	}

	reply(w, map[string]string{})
}
