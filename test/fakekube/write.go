package fakekube

import (
	"encoding/json"
	"net/http"
	"path"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// change answers a request that changes something: of leases only, in JSON. A lease of an older
// version than the server's is a conflict.
func (s *Server) change(w *writer, request *http.Request) {
	s.count(func(c *Counts) { c.Others++ })
	at, name := request.URL.Path, ""
	if request.Method != http.MethodPost {
		at, name = path.Split(at)
		at = path.Clean(at)
	}
	lease := &coordinationv1.Lease{}
	if request.Method != http.MethodDelete {
		if err := json.NewDecoder(request.Body).Decode(lease); err != nil {
			w.refuse(Status(400, metav1.StatusReasonBadRequest, err.Error()))
			return
		}
		name = lease.Name
	}
	s.mu.Lock()
	r := s.resources[at]
	var old *item
	namespace := path.Base(path.Dir(at))
	if r != nil {
		old = r.items[namespace+"/"+name]
	}
	s.mu.Unlock()
	exists := request.Method == http.MethodPost
	switch {
	case r == nil || old == nil && !exists:
		w.refuse(Status(404, metav1.StatusReasonNotFound, name+" not found"))
	case exists && old != nil:
		w.refuse(Status(409, metav1.StatusReasonAlreadyExists, name+" already exists"))
	case request.Method == http.MethodPut &&
		lease.ResourceVersion != strconv.FormatInt(old.version, 10):
		w.refuse(Status(409, metav1.StatusReasonConflict, "the object has been modified"))
	case request.Method == http.MethodDelete:
		s.Delete(at, namespace, name)
		w.json(metav1.Status{Status: "Success"})
	default:
		lease.Namespace = namespace
		s.Put(at, lease)
		w.json(lease)
	}
}
