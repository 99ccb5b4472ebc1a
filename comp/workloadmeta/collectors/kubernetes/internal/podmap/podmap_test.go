package podmap_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

func mapper(t *testing.T) *podmap.Mapper {
	t.Helper()
	filter, err := env.NewFilter("FROM_*", "MY_*")
	if err != nil {
		t.Fatal(err)
	}
	return podmap.New(filter)
}

func parse(t *testing.T, text []byte) *object.Pod {
	t.Helper()
	pod := new(object.Pod)
	if err := json.Unmarshal(text, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestRecorded compares whole entities of what kubelets of 1.34 and 1.37 have answered.
func TestRecorded(t *testing.T) {
	for _, name := range []string{"pods-multi-container", "pods-crashloop", "pods-starting",
		"pods-deleting", "pods-static-restarting"} {
		data, err := os.ReadFile("../../testdata/1.34/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		var got []workloadmeta.Entity
		for _, raw := range list.Items {
			mapped, err := mapper(t).Map(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range mapped.Containers {
				got = append(got, c)
			}
			got = append(got, mapped.Pod)
		}
		collectortest.Golden(t, "testdata/"+name+".golden.json", got)
	}
}

// TestThreeWaysAreOne maps the same pod as the Pods API, /pods and the API server have shown it:
// wherever two of them agree on the status, the entities differ only in what the package's
// documentation names.
func TestThreeWaysAreOne(t *testing.T) {
	files, err := filepath.Glob("../../testdata/1.37/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	pairs := map[string]int{}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<22)
		type copies map[string]podmap.Mapped // by the way
		byStatus := map[string]copies{}
		for lines.Scan() {
			var line struct {
				Source string
				Pod    json.RawMessage
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line.Pod == nil {
				continue
			}
			pod := parse(t, line.Pod)
			if pod.Status.Phase == "" { // an end, which has a name only
				continue
			}
			mapped, err := mapper(t).Map(pod)
			if err != nil {
				t.Fatal(err)
			}
			var status struct {
				Metadata struct{ Labels, Generation json.RawMessage }
				Spec     struct{ Containers, EphemeralContainers json.RawMessage }
				Status   any
			}
			if err := json.Unmarshal(line.Pod, &status); err != nil {
				t.Fatal(err)
			}
			canonical, err := json.Marshal(status)
			if err != nil {
				t.Fatal(err)
			}
			key := mapped.Pod.ID + mapped.Pod.DeletionTimestamp.String() + string(canonical)
			if byStatus[key] == nil {
				byStatus[key] = copies{}
			}
			byStatus[key][line.Source] = mapped
		}
		for _, all := range byStatus {
			ways := slices.Sorted(maps.Keys(all))
			for _, way := range ways[1:] {
				a, b := all[ways[0]], all[way]
				pairs[ways[0]+" and "+way]++
				if diff := cmp.Diff(plain(a), plain(b)); diff != "" {
					t.Errorf("%s: %s (-), %s (+):\n%s", path, ways[0], way, diff)
				}
			}
		}
	}
	if len(pairs) < 2 {
		t.Errorf("compared %v; want all three ways", pairs)
	}
}

// plain takes away what only one way knows.
func plain(m podmap.Mapped) podmap.Mapped {
	p := *m.Pod
	p.ResourceVersion, p.Owners, p.APIUID, p.CreationTimestamp = "", nil, "", time.Time{}
	p.Annotations = maps.Clone(p.Annotations)
	for _, key := range []string{"kubernetes.io/config.source", "kubernetes.io/config.mirror",
		"kubernetes.io/config.hash"} {
		delete(p.Annotations, key)
	}
	m.Pod = &p
	return m
}

// A mirror in the API server is the static pod that it stands for.
func TestMirror(t *testing.T) {
	mapped, err := mapper(t).Map(parse(t, []byte(`{"metadata":{"name":"web-node-1","uid":"api-uid",
		"annotations":{"kubernetes.io/config.mirror":"kubelet-uid"},
		"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"node-1","uid":"n",
			"controller":true}]},"spec":{"nodeName":"node-1"},
		"status":{"phase":"Running","containerStatuses":[{"name":"a","containerID":"containerd://1",
			"state":{"running":{}}}]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if p := mapped.Pod; p.ID != "kubelet-uid" || p.APIUID != "api-uid" || len(p.Owners) > 0 ||
		mapped.Containers[0].Owner.ID != "kubelet-uid" {
		t.Errorf("pod %+v, owner of its container %v", p, mapped.Containers[0].Owner)
	}
}

func TestVariables(t *testing.T) {
	for name, tc := range map[string]struct {
		env  string
		want map[string]string
	}{
		"a value":          {`{"name":"DD_ENV","value":"prod"}`, map[string]string{"DD_ENV": "prod"}},
		"not on the list":  {`{"name":"PASSWORD","value":"hunter2"}`, nil},
		"reference":        {`{"name":"A","value":"1"},{"name":"DD_VERSION","value":"$(A).2"}`, map[string]string{"DD_VERSION": "1.2"}},
		"defined later":    {`{"name":"DD_VERSION","value":"$(A).2"},{"name":"A","value":"1"}`, map[string]string{"DD_VERSION": "$(A).2"}},
		"of a secret":      {`{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},{"name":"DD_VERSION","value":"$(A).2"}`, nil},
		"not defined here": {`{"name":"DD_VERSION","value":"$(SHOP_SERVICE_HOST)"}`, nil},
		"a dollar":         {`{"name":"DD_ENV","value":"$$(A)$5$"}`, map[string]string{"DD_ENV": "$(A)$5$"}},
		"not closed":       {`{"name":"DD_ENV","value":"a$(B"}`, map[string]string{"DD_ENV": "a$(B"}},
		"the last counts":  {`{"name":"DD_ENV","value":"a"},{"name":"DD_ENV","value":"b"}`, map[string]string{"DD_ENV": "b"}},
		"the last unknown": {`{"name":"DD_ENV","value":"a"},{"name":"DD_ENV","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}`, nil},
		"fields": {`{"name":"FROM_NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},
			{"name":"FROM_LABEL","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}},
			{"name":"FROM_UID","valueFrom":{"fieldRef":{"fieldPath":"metadata.uid"}}},
			{"name":"MY_ATTRS","value":"uid=$(FROM_UID),node=$(FROM_NODE)"},
			{"name":"FROM_NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}`,
			map[string]string{"FROM_NAME": "web-0", "FROM_LABEL": "web", "FROM_UID": "u",
				"MY_ATTRS": "uid=u,node=$(FROM_NODE)", "FROM_NODE": "node-1"}},
		"a field that is not there": {`{"name":"FROM_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}`, nil},
	} {
		mapped, err := mapper(t).Map(parse(t, fmt.Appendf(nil, `{"metadata":{"name":"web-0","uid":"u",
			"labels":{"app":"web"}},"spec":{"nodeName":"node-1","containers":[{"name":"a","env":[%s]}]},
			"status":{"containerStatuses":[{"name":"a","containerID":"containerd://1"}]}}`, tc.env)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, mapped.Containers[0].EnvVars); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestResources(t *testing.T) {
	mapped, err := mapper(t).Map(parse(t, []byte(`{"metadata":{"uid":"u"},"spec":{"containers":[{"name":"a",
		"resources":{"requests":{"cpu":"250m","memory":"64Mi","nvidia.com/gpu":"1","hugepages-2Mi":"4Mi"},
			"limits":{"cpu":"1","memory":"128Mi","nvidia.com/gpu":"1"}}}]},
		"status":{"containerStatuses":[{"name":"a","containerID":"containerd://1",
			"allocatedResources":{"cpu":"500m"},
			"resources":{"requests":{"cpu":"500m"},"limits":{"memory":"9007199254740988Ki"}}}]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	r := mapped.Containers[0].Resources
	if *r.CPURequest != 50 || *r.CPULimit != 100 || *r.MemoryRequest != 64<<20 ||
		r.MemoryLimit != nil || *r.GPULimit != 1 || !slices.Equal(r.GPUVendorList, []string{"nvidia"}) ||
		!slices.Equal(mapped.Pod.GPUVendorList, []string{"nvidia"}) {
		t.Errorf("resources %+v", r)
	}
	want := &workloadmeta.RawResources{
		Requests: map[string]string{"cpu": "500m", "memory": "64Mi", "nvidia.com/gpu": "1",
			"hugepages-2Mi": "4Mi"},
		Limits: map[string]string{"cpu": "1", "memory": "9007199254740988Ki",
			"nvidia.com/gpu": "1"},
		Allocated: map[string]string{"cpu": "500m"}}
	if raw := mapped.Pod.Containers[0].RawResources; !reflect.DeepEqual(raw, want) {
		t.Errorf("raw %+v, want %+v", raw, want)
	}
}

func TestQOS(t *testing.T) {
	for containers, want := range map[string]string{
		`{"name":"a"}`: "BestEffort",
		`{"name":"a","resources":{"requests":{"cpu":"1"}}}`:                                                        "Burstable",
		`{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}`:                                           "Guaranteed",
		`{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m"}}}`:                "Guaranteed",
		`{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1"}}},{"name":"b"}`:       "Burstable",
		`{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"memory":"512Mi"}}}`:             "Burstable",
		`{"name":"a","resources":{"limits":{"cpu":"0","memory":"0"},"requests":{"cpu":"0","memory":"no amount"}}}`: "BestEffort",
	} {
		mapped, err := mapper(t).Map(parse(t, []byte(
			`{"metadata":{"uid":"u"},"spec":{"containers":[`+containers+`]},"status":{}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if mapped.Pod.QOSClass != want {
			t.Errorf("%s: %s, want %s", containers, mapped.Pod.QOSClass, want)
		}
	}
}

// A pod that makes no sense is refused with its name.
func TestNoPod(t *testing.T) {
	many := strings.Repeat(`{"name":"a"},`, 2*podmap.MaxContainers) + `{"name":"a"}`
	for text, want := range map[string]string{
		`{"metadata":{"name":"web","namespace":"shop"}}`: "pod shop/web: it has no UID",
		`{"metadata":{"name":"web","namespace":"shop","uid":"u"},"spec":{"containers":[` + many +
			`]}}`: "pod shop/web: more than",
	} {
		if _, err := mapper(t).Map(parse(t, []byte(text))); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// FuzzMap: no pod crashes the mapper, and none of its secrets is in an entity.
func FuzzMap(f *testing.F) {
	f.Add([]byte(`{"metadata":{"uid":"u","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},
		"spec":{"containers":[{"name":"a","env":[{"name":"X","value":"hunter2"}]}]},
		"status":{"containerStatuses":[{"name":"a","containerID":"containerd://1",
		"state":{"terminated":{"message":"hunter2"}}}]}}`))
	filter, err := env.NewFilter()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pod := new(object.Pod)
		if json.Unmarshal(data, pod) != nil {
			return
		}
		mapped, err := podmap.New(filter).Map(pod)
		if err != nil {
			return
		}
		for _, c := range mapped.Containers {
			for name := range c.EnvVars {
				if !filter.Allowed(name) {
					t.Errorf("variable %q is kept", name)
				}
			}
		}
		if _, ok := mapped.Pod.Annotations["kubectl.kubernetes.io/last-applied-configuration"]; ok {
			t.Error("the last applied configuration is kept")
		}
	})
}
