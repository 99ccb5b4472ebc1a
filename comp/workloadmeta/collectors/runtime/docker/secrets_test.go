package docker

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// kubectl's copy of a pod's manifest has the values of its environment.
func TestLastAppliedConfigurationIsLeftOut(t *testing.T) {
	labels := map[string]string{
		"annotation.kubectl.kubernetes.io/last-applied-configuration": "hunter2", "app": "cart"}
	annotations := map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "hunter2",
		"a": "b"}
	in := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: "c1",
			HostConfig: &container.HostConfig{Annotations: annotations}},
		Config: &container.Config{Labels: labels},
	}
	inspected, err := mapInspect(&in, builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	summary := container.Summary{ID: "c1", Labels: labels}
	summary.HostConfig.Annotations = annotations
	listed, err := mapList(&summary)
	if err != nil {
		t.Fatal(err)
	}
	started := message{}
	started.Actor.ID, started.Actor.Attributes = "c1", labels
	for what, c := range map[string]*workloadmeta.Container{"inspected": inspected.Entity,
		"listed": listed, "started": mapEvent(&started)} {
		text, err := json.Marshal(c)
		if err != nil || bytes.Contains(text, []byte("hunter")) || c.Labels["app"] != "cart" {
			t.Errorf("%s: %s, %v", what, text, err)
		}
	}
	if len(labels) != 2 || len(annotations) != 2 {
		t.Error("what Docker's client returned was written to")
	}
}

// Everything a builder writes into an image's history may hold values of its environment.
func TestHistoryHasNoSecrets(t *testing.T) {
	layers := mapLayers([]dockerimage.HistoryResponseItem{
		{CreatedBy: "RUN |1 TOKEN=hunter2 /bin/sh -c make # buildkit"},
		{CreatedBy: "ENV DB=hunter2 DD_ENV=prod"},
		{CreatedBy: "/bin/sh -c #(nop)  ENV DB=hunter2"},
	}, nil, builtIn(t))
	text, err := json.Marshal(layers)
	if err != nil || bytes.Contains(text, []byte("hunter")) ||
		!bytes.Contains(text, []byte("DD_ENV=prod")) {
		t.Errorf("layers = %s, %v", text, err)
	}
}
