package podmap

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

func newMapper(t *testing.T) *Mapper {
	t.Helper()
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	return New(filter)
}

func mapPod(t *testing.T, m *Mapper, text []byte) Mapped {
	t.Helper()
	var pod object.Pod
	if err := json.Unmarshal(text, &pod); err != nil {
		t.Fatal(err)
	}
	out, err := m.Map(&pod)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSharingChangesNothing maps everything that was recorded, one pod after the other, with a
// mapper that has seen all before and with one that has seen nothing.
func TestSharingChangesNothing(t *testing.T) {
	files, err := filepath.Glob("../../testdata/*/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	experienced := newMapper(t)
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<22)
		for lines.Scan() {
			var line struct{ Pod json.RawMessage }
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line.Pod == nil || !bytes.Contains(line.Pod, []byte(`"uid"`)) { // an end
				continue
			}
			got, want := mapPod(t, experienced, line.Pod), mapPod(t, newMapper(t), line.Pod)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: alone (-), after others (+):\n%s", path, diff)
			}
		}
	}
}

func replica(i int) []byte {
	return fmt.Appendf(nil, `{"metadata": {"name": "web-%[1]d", "uid": "uid-%[1]d",
		"labels": {"app": "web"}, "annotations": {"team": "core"},
		"ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b", "uid": "rs",
			"controller": true}]},
		"spec": {"containers": [{"name": "main", "image": "example.org/app:v1",
			"env": [{"name": "DD_ENV", "value": "prod"}],
			"resources": {"requests": {"cpu": "250m"}}}]},
		"status": {"phase": "Running", "containerStatuses": [
			{"name": "main", "containerID": "containerd://%[1]d", "state": {"running": {}}}]}}`, i)
}

// TestReplicasShareMemory checks that what two replicas have in common is there once.
func TestReplicasShareMemory(t *testing.T) {
	m := newMapper(t)
	first := mapPod(t, m, replica(1))
	mapPod(t, m, []byte(`{"metadata": {"name": "other", "uid": "other"}}`))
	second := mapPod(t, m, replica(2))
	if second.Pod.Name != "web-2" || second.Containers[0].ID != "2" {
		t.Fatalf("the second one is %v, with %v", second.Pod, second.Containers[0])
	}
	for name, pair := range map[string][2]any{
		"labels":      {first.Pod.Labels, second.Pod.Labels},
		"annotations": {first.Pod.Annotations, second.Pod.Annotations},
		"owners":      {first.Pod.Owners, second.Pod.Owners},
		"resources": {first.Pod.Containers[0].RawResources,
			second.Pod.Containers[0].RawResources},
		"variables": {first.Containers[0].EnvVars, second.Containers[0].EnvVars},
	} {
		a, b := reflect.ValueOf(pair[0]), reflect.ValueOf(pair[1])
		if a.IsNil() || a.Pointer() != b.Pointer() {
			t.Errorf("%s are there twice: %v, %v", name, pair[0], pair[1])
		}
	}
	runtime.KeepAlive(first)
}

// TestSharingKeepsNothing checks that the memory of pods that come and go is given back.
func TestSharingKeepsNothing(t *testing.T) {
	m := newMapper(t)
	for i := range 5000 {
		mapPod(t, m, fmt.Appendf(nil, `{"metadata": {"name": "job-%[1]d", "uid": "%[1]d"}}`, i))
		if i%100 == 0 {
			runtime.GC()
		}
	}
	if n := len(m.siblings.latest); n > 1000 {
		t.Errorf("%d pods are remembered after all but the last have gone", n)
	}
}
