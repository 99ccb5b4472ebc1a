package fakekube

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watch tells of changes until the client has enough, the time is over, or the watch is dropped.
func (s *Server) watch(w *writer, request *http.Request, r *resource, query url.Values) {
	wanted := selects(query)
	s.mu.Lock()
	streamed := query.Get("sendInitialEvents") != ""
	version, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64)
	var first []*item
	if streamed {
		s.counts.Streamed++
		first, version = slices.Collect(itemsOf(r, wanted)), s.version
	} else {
		s.counts.Watches++
	}
	streaming, dropped, latest, compacted := s.streaming, s.dropped, s.version, r.compacted
	s.mu.Unlock()
	switch {
	case streamed && streaming == BreaksDown:
		w.event("ERROR", Status(500, metav1.StatusReasonInternalError,
			"RequestWatchProgress is disabled"))
		return
	case version > latest:
		w.refuse(tooLarge())
		return
	case version < compacted:
		w.event("ERROR", Status(410, metav1.StatusReasonExpired, "too old resource version"))
		return
	}
	w.begin() // a watch without events has an answer all the same
	for _, i := range first {
		w.event("ADDED", i.object())
	}
	if streamed {
		w.bookmark(version, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	over := time.NewTimer(time.Duration(seconds) * time.Second)
	defer over.Stop()
	bookmark := time.NewTicker(time.Minute)
	defer bookmark.Stop()
	for {
		s.mu.Lock()
		if version < r.compacted { // between two looks
			s.mu.Unlock()
			w.event("ERROR", Status(410, metav1.StatusReasonExpired, "too old resource version"))
			return
		}
		from, _ := slices.BinarySearchFunc(r.log, version+1,
			func(c change, v int64) int { return int(c.version - v) })
		changes, changed := slices.Clone(r.log[from:]), s.changed
		s.mu.Unlock()
		for _, c := range changes {
			was, is := wanted(c.old), wanted(c.now) && c.kind != "DELETED"
			switch {
			case was && is:
				w.event("MODIFIED", c.now)
			case is:
				w.event("ADDED", c.now)
			case was:
				w.event("DELETED", c.now)
			}
			version = c.version
		}
		select {
		case <-request.Context().Done():
			return
		case <-dropped:
			return
		case <-over.C:
			return
		case <-changed:
		case <-bookmark.C:
			s.mu.Lock()
			if len(r.log) == 0 || r.log[len(r.log)-1].version <= version {
				version = s.version
			}
			s.mu.Unlock()
			w.bookmark(version, nil)
		}
		if w.failed {
			return
		}
	}
}

func itemsOf(r *resource, wanted func(Object) bool) func(func(*item) bool) {
	return func(yield func(*item) bool) {
		for _, i := range r.items {
			if (i.make != nil || wanted(i.made)) && !yield(i) {
				return
			}
		}
	}
}
