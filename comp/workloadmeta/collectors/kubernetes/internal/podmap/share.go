package podmap

import (
	"reflect"
	"sync"
	"weak"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// siblings finds a pod that a new one resembles, to share memory with: the replicas of one
// controller differ in little but their names, addresses and IDs, and so do the states of one pod.
// It keeps nothing alive.
type siblings struct {
	mu sync.Mutex
	// by the UID of the controller, or the pod's own where it has none; "" is the last one of all
	latest map[string]remembered
	sweep  int // how many there may be before those that are gone are taken out
}

type remembered struct {
	pod        weak.Pointer[workloadmeta.KubernetesPod]
	containers []weak.Pointer[workloadmeta.Container]
}

// share makes a pod and its containers use those strings, maps and lists of a sibling that are
// equal to their own. It has to be called before anybody else sees them.
func (s *siblings) share(m Mapped) {
	key := m.Pod.ID
	for _, o := range m.Pod.Owners {
		if o.Controller != nil && *o.Controller && o.ID != "" {
			key = o.ID
		}
	}
	like, ok := s.find(key)
	if ok {
		share(reflect.ValueOf(m.Pod).Elem(), reflect.ValueOf(like.Pod).Elem())
		for _, c := range m.Containers {
			for _, l := range like.Containers {
				if l.Name == c.Name {
					share(reflect.ValueOf(c).Elem(), reflect.ValueOf(l).Elem())
					break
				}
			}
		}
	}
	s.remember(key, m)
}

func (s *siblings) find(key string) (Mapped, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{key, ""} {
		r, ok := s.latest[key]
		if !ok {
			continue
		}
		pod := r.pod.Value()
		if pod == nil {
			continue
		}
		out := Mapped{Pod: pod}
		for _, c := range r.containers {
			if c := c.Value(); c != nil {
				out.Containers = append(out.Containers, c)
			}
		}
		return out, true
	}
	return Mapped{}, false
}

func (s *siblings) remember(key string, m Mapped) {
	r := remembered{pod: weak.Make(m.Pod)}
	for _, c := range m.Containers {
		r.containers = append(r.containers, weak.Make(c))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest[key], s.latest[""] = r, r
	if len(s.latest) <= s.sweep {
		return
	}
	for key, r := range s.latest {
		if r.pod.Value() == nil {
			delete(s.latest, key)
		}
	}
	s.sweep = 2*len(s.latest) + 64
}

// share replaces the strings, maps, lists and pointers in v by those of like that are equal to
// them. Both are of one type; what is in unexported fields stays.
func share(v, like reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.String() == like.String() {
			v.Set(like)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() {
				share(field, like.Field(i))
			}
		}
	case reflect.Map, reflect.Pointer:
		if !v.IsNil() && reflect.DeepEqual(v.Interface(), like.Interface()) {
			v.Set(like)
		}
	case reflect.Slice:
		if v.Len() > 0 && reflect.DeepEqual(v.Interface(), like.Interface()) {
			v.Set(like)
			return
		}
		for i := range min(v.Len(), like.Len()) {
			share(v.Index(i), like.Index(i))
		}
	}
}
