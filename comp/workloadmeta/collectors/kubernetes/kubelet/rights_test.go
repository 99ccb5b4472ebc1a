package kubelet

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// subresources are those of nodes of which any is enough for a path, as kubelets since 1.33 ask the
// API server about them.
func subresources(path string) []string {
	switch {
	case path == "/pods", path == "/runningpods/":
		return []string{"pods", "proxy"}
	case path == "/healthz":
		return []string{"healthz", "proxy"}
	case path == "/configz":
		return []string{"configz", "proxy"}
	case strings.HasPrefix(path, "/metrics"):
		return []string{"metrics"}
	case strings.HasPrefix(path, "/stats"):
		return []string{"stats"}
	case strings.HasPrefix(path, "/logs/"):
		return []string{"log"}
	case strings.HasPrefix(path, "/checkpoint/"):
		return []string{"checkpoint"}
	}
	return []string{"proxy"}
}

// TestRights is item 16: a kubelet lets an account see pods that may get nodes/pods, or
// nodes/proxy, and nobody else; what is missing is named, and no other path is ever tried.
func TestRights(t *testing.T) {
	for name, c := range map[string]struct {
		granted []string
		sees    bool
	}{
		"only nodes/pods":  {[]string{"pods"}, true},
		"only nodes/proxy": {[]string{"proxy"}, true},
		"metrics, stats, healthz and configz": {[]string{"metrics", "stats", "healthz",
			"configz"}, false},
		"none": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.set(pod("web"), false)
			asked := map[string]bool{}
			r.answer(func(w http.ResponseWriter, q *http.Request) bool {
				asked[q.URL.Path] = true
				wanted := subresources(q.URL.Path)
				if slices.ContainsFunc(wanted,
					func(s string) bool { return slices.Contains(c.granted, s) }) {
					return false
				}
				http.Error(w, fmt.Sprintf("Forbidden (user=reader, verb=get, resource=nodes, "+
					"subresource(s)=%v)", wanted), http.StatusForbidden)
				return true
			})
			r.start(Options{URL: r.https(t, r.root), NodeName: "node-1"})
			if c.sees {
				r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
			} else {
				r.eventually("status names the right", func() bool {
					p := r.Status("kubelet").Problem
					return p.Cause == workloadmeta.CauseForbidden &&
						strings.Contains(p.Reason, "[pods proxy]") &&
						strings.Contains(p.Hint, "grant get nodes/pods")
				})
			}
			r.fakeKubelet.mu.Lock()
			defer r.fakeKubelet.mu.Unlock()
			if paths := slices.Collect(maps.Keys(asked)); len(paths) != 1 || paths[0] != "/pods" {
				t.Errorf("asked for %v", paths)
			}
		})
	}
}
