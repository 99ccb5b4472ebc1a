package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// ofServices starts a collector of services, with one that is called web.
func ofServices(t *testing.T, o Options) *world {
	t.Helper()
	server := newServer()
	server.Put(servicePath, &corev1.Service{ObjectMeta: meta("web")})
	o.Agent, o.Resources = collection.Cluster, []string{services}
	w := start(t, server, o)
	w.wait(time.Second)
	return w
}

// TestMembers is number 20: who is behind a service, step by step.
func TestMembers(t *testing.T) {
	type step struct {
		slice string // "<name> <pods>", or "-<name>" to delete it
		after time.Duration
		want  string
	}
	for name, c := range map[string]struct {
		when  string
		steps []step
	}{
		"ready once": {"", []step{
			{"s a b! c", 0, "[a c]"},
			{"s a b c!", 0, "[a b c]"}, // c was
			{"s a! b! c!", time.Hour, "[a b c]"},
		}},
		"nil conditions": {"", []step{{"s a?", 0, "[a]"}}},
		"terminating": {"", []step{
			{"s a~ b", 0, "[a b]"}, // still serving
			{"s a! b~", 0, "[a b]"},
			{"s b~", holdDown - time.Second, "[a b]"},
			{"s b~", time.Second, "[b]"},
		}},
		"terminating, and never ready": {"", []step{{"s a!", time.Minute, "[]"}}},
		"removed": {"", []step{
			{"s a b", time.Hour, "[a b]"},
			{"s b", holdDown - time.Second, "[a b]"},
			{"s b", time.Second, "[b]"},
		}},
		"removed and added again in time": {"", []step{
			{"s a", 0, "[a]"},
			{"s b", 20 * time.Second, "[a b]"},
			{"s a b", 20 * time.Second, "[a b]"},
			{"s b", 20 * time.Second, "[a b]"},
			{"s b", 10 * time.Second, "[b]"},
		}},
		"in two slices": {"", []step{
			{"s a b", 0, "[a b]"},
			{"t a", 0, "[a b]"},
			{"s b", time.Hour, "[a b]"},
			{"-t", time.Hour, "[b]"},
		}},
		"moved from slice to slice": {"", []step{
			{"s a b", 0, "[a b]"},
			{"s b", 10 * time.Second, "[a b]"},
			{"t a", time.Hour, "[a b]"},
		}},
		"of two addresses": {"", []step{{"s a a", 0, "[a]"}, {"s a", time.Hour, "[a]"}}},
		"only while ready": {whenReady, []step{
			{"s a b!", 0, "[a]"},
			{"s a! b", 0, "[b]"},
			{"s a b~", 0, "[a]"},
			{"s b", 0, "[b]"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ofServices(t, Options{ServiceWhen: c.when})
				defer w.stop()
				for i, s := range c.steps {
					if gone, ok := strings.CutPrefix(s.slice, "-"); ok {
						w.server.Delete(slicePath, "shop", gone)
					} else {
						f := strings.Fields(s.slice)
						w.server.Put(slicePath, sliceOf(f[0], "web", f[1:]...))
					}
					w.wait(s.after)
					if got := w.members("web"); got != s.want {
						t.Errorf("step %d, %s: %s, want %s", i, s.slice, got, s.want)
					}
				}
			})
		})
	}
}

// TestEndpointsThatAreNoPods are no members: addresses outside, and what no service has.
func TestEndpointsThatAreNoPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ofServices(t, Options{})
		defer w.stop()
		s := sliceOf("s", "web", "a")
		s.Endpoints = append(s.Endpoints,
			discoveryv1.Endpoint{Addresses: []string{"10.99.0.7"}},
			discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Node", UID: "n"}},
			discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "no-uid"}})
		w.server.Put(slicePath, s)
		orphan := sliceOf("orphan", "web", "b")
		orphan.Labels = nil
		w.server.Put(slicePath, orphan)
		w.wait(0)
		if got := w.members("web"); got != "[a]" {
			t.Errorf("members %s, want [a]", got)
		}
	})
}

// TestLargeService has more endpoints than the API server puts into one object.
func TestLargeService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ofServices(t, Options{})
		defer w.stop()
		for i := range 15 {
			var pods []string
			for j := range 100 {
				pods = append(pods, fmt.Sprintf("pod-%d", 100*i+j))
			}
			w.server.Put(slicePath, sliceOf(fmt.Sprintf("s-%d", i), "web", pods...))
		}
		w.wait(0)
		s := entity[*workloadmeta.KubernetesService](w, workloadmeta.KindKubernetesService,
			"shop/web")
		if len(s.Pods) != 1500 || !slices.IsSorted(s.Pods) {
			t.Errorf("%d members, sorted: %v", len(s.Pods), slices.IsSorted(s.Pods))
		}
		w.told()
		w.away(func() { w.server.Delete(slicePath, "shop", "s-3") })
		w.expect("100 go at once", "set kubernetes_service/shop/web")
	})
}

// TestServicesComeAndGo: a service is there without members, its members stay for the hold-down
// after it is gone, and what only slices know of is a service, too.
func TestServicesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ofServices(t, Options{})
		defer w.stop()
		w.expect("alone", "set kubernetes_service/shop/web")
		w.server.Put(slicePath, sliceOf("s", "web", "a"))
		w.wait(0)
		w.server.Delete(servicePath, "shop", "web")
		w.server.Delete(slicePath, "shop", "s")
		w.wait(29 * time.Second)
		if got := w.members("web"); got != "[a]" {
			t.Errorf("within the hold-down: %s", got)
		}
		w.told()
		w.wait(time.Second)
		w.expect("after it", "unset kubernetes_service/shop/web")
		w.server.Put(slicePath, sliceOf("s", "other", "a"))
		w.wait(0)
		w.expect("known from its slices", "set kubernetes_service/shop/other")
	})
}

// TestManyServicesOfOnePod: of more than fifty the first by name count, the rest is counted.
func TestManyServicesOfOnePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ofServices(t, Options{})
		defer w.stop()
		put := func(i int) {
			name := fmt.Sprintf("svc-%02d", i)
			w.server.Put(servicePath, &corev1.Service{ObjectMeta: meta(name)})
			w.server.Put(slicePath, sliceOf(name, name, "a"))
			w.wait(0)
		}
		for i := 54; i >= 0; i-- {
			put(i)
		}
		have := func() (out []string) {
			for id, e := range w.known {
				if len(e.(*workloadmeta.KubernetesService).Pods) > 0 {
					out = append(out, id.ID)
				}
			}
			slices.Sort(out)
			return out
		}
		if got := have(); len(got) != maxServices || got[49] != "shop/svc-49" {
			t.Errorf("%d services, the last is %s", len(got), got[len(got)-1])
		}
		if p := w.part("endpointslices.discovery.k8s.io"); !strings.Contains(p.Reason,
			" 5 memberships are left out") {
			t.Errorf("status: %+v", p)
		}
		w.server.Delete(slicePath, "shop", "svc-07")
		w.wait(holdDown)
		if got := have(); len(got) != maxServices || got[49] != "shop/svc-50" {
			t.Errorf("when one has gone: %d services, the last is %s", len(got), got[len(got)-1])
		}
		for i := range 4 {
			w.server.Delete(slicePath, "shop", fmt.Sprintf("svc-%02d", i))
		}
		w.wait(holdDown)
		if got := have(); len(got) != maxServices || got[49] != "shop/svc-54" {
			t.Errorf("when fifty are left: %d services, the last is %s", len(got),
				got[len(got)-1])
		}
	})
}

// TestServicesOfANode: only the node's pods are kept, and services that have any.
func TestServicesOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Put(servicePath, &corev1.Service{ObjectMeta: meta("web")})
		server.Put(servicePath, &corev1.Service{ObjectMeta: meta("elsewhere")})
		server.Put(slicePath, sliceOf("w", "web", "a"))
		far := sliceOf("e", "elsewhere", "b")
		node := "node-2"
		far.Endpoints[0].NodeName = &node
		server.Put(slicePath, far)
		w := start(t, server, Options{Resources: []string{services}, DirectSlices: true,
			NodeName: "node-1"})
		defer w.stop()
		w.wait(time.Second)
		if diff := cmp.Diff(map[string]bool{"kubernetes_service/shop/web": true},
			names(w.known)); diff != "" || w.members("web") != "[a]" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	})
}

// TestMembersAreAFunctionOfSlices: whatever came before, some time later the members are those pods
// that slices list and that were ready once since they were listed first.
func TestMembersAreAFunctionOfSlices(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			w := ofServices(t, Options{})
			defer w.stop()
			now := map[string]map[string]bool{} // slice → pod → ready
			was := map[string]bool{}            // ready since it was listed, or held down
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				name := rapid.SampledFrom([]string{"s", "t", "u"}).Draw(rt, "slice")
				if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
					w.server.Delete(slicePath, "shop", name)
					delete(now, name)
				} else {
					var pods []string
					now[name] = map[string]bool{}
					for _, pod := range []string{"a", "b", "c"} {
						switch rapid.IntRange(0, 2).Draw(rt, pod) {
						case 1:
							pods = append(pods, pod+"!")
							now[name][pod] = false
						case 2:
							pods = append(pods, pod)
							now[name][pod], was[pod] = true, true
						}
					}
					w.server.Put(slicePath, sliceOf(name, "web", pods...))
				}
				wait := rapid.SampledFrom([]time.Duration{0, holdDown + time.Second}).Draw(rt,
					"wait")
				w.wait(wait)
				for _, pod := range slices.Collect(maps.Keys(was)) {
					if listed := listedIn(now, pod); wait > 0 && !listed {
						delete(was, pod)
					}
				}
			}
			w.wait(holdDown + time.Second)
			var want []string
			for _, pod := range slices.Sorted(maps.Keys(was)) {
				if listedIn(now, pod) {
					want = append(want, pod)
				}
			}
			if got := w.members("web"); got != fmt.Sprint(want) {
				t.Errorf("members %s, want %v", got, want)
			}
		})
	})
}

func listedIn(slices map[string]map[string]bool, pod string) bool {
	for _, pods := range slices {
		if _, ok := pods[pod]; ok {
			return true
		}
	}
	return false
}
