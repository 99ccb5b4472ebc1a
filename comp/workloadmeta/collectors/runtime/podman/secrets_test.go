package podman

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// Command lines, environments, outputs of health checks and kubectl's copy of a pod's manifest have
// secrets in them.
func TestSecretsStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": f}, nil)
		f.image("tag", imageA, "localhost/app:1")
		labels := map[string]string{
			"annotation.kubectl.kubernetes.io/last-applied-configuration": "hunter2", "app": "cart"}
		f.run(&fakeContainer{ID: "c1", ImageID: imageA, Labels: labels,
			Env: []string{"DB=hunter2", "DD_ENV=prod", "hunter2"}})
		w := collectortest.NewWorld()
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		// told by events only
		short := f.run(&fakeContainer{ID: "c2", Labels: labels, Env: []string{"DB=hunter2"}})
		f.die(short, 1)
		f.remove(short)
		pass(5 * time.Second)
		s.Stop()
		text, err := json.Marshal([]any{w.Container("c1"), w.Ended("c2")})
		if err != nil || bytes.Contains(text, []byte("hunter")) ||
			!bytes.Contains(text, []byte("cart")) || w.Container("c1").EnvVars["DD_ENV"] != "prod" {
			t.Errorf("%s, %v", text, err)
		}
		if status := fmt.Sprintf("%+v", c.Sockets()); bytes.Contains([]byte(status),
			[]byte("hunter")) {
			t.Errorf("status = %s", status)
		}
	})
}

// Everything a builder writes into an image's history may hold values of its environment.
func TestHistoryHasNoSecrets(t *testing.T) {
	var in imageAnswer
	err := json.Unmarshal([]byte(`{"Id":"a","RootFS":{"Layers":["sha256:1","sha256:2"]},"Config":{"Env":["DB=hunter2"]},"History":[
		{"created_by":"RUN |1 TOKEN=hunter2 /bin/sh -c make # buildkit"},
		{"created_by":"ENV DB=hunter2 DD_ENV=prod","empty_layer":true},
		{"created_by":"/bin/sh -c #(nop)  ENV DB=hunter2"}]}`), &in)
	if err != nil {
		t.Fatal(err)
	}
	i, err := mapImage(&in, builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(i)
	if err != nil || bytes.Contains(text, []byte("hunter")) ||
		!bytes.Contains(text, []byte("DD_ENV=prod")) || len(i.Layers) != 3 {
		t.Errorf("image = %s, %v", text, err)
	}
}

// Whose containers they are is in an annotation, alike in lists and inspections.
func TestContainersOfAUser(t *testing.T) {
	s := newTestService(t)
	s.uid = 1000
	listed, err := mapList(&containerEntry{ID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	inspected, err := mapInspect(&containerAnswer{ID: "c1"}, builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*workloadmeta.Container{listed.Entity, inspected.Entity} {
		s.complete(c)
		if c.Annotations[annotationUID] != "1000" || c.Namespace != "" {
			t.Errorf("%+v", c)
		}
	}
	s.uid = 0
	root, err := mapList(&containerEntry{ID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if s.complete(root.Entity); root.Entity.Annotations != nil {
		t.Errorf("root's: %+v", root.Entity)
	}
}
