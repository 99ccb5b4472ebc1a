package containerd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// recordingOf returns the folder of what a real containerd of this version has answered, see
// TestRecord.
func recordingOf(version string) string {
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	return filepath.Join("testdata", "containerd-"+major+"."+minor)
}

// eachRecording runs a test on what each containerd has answered.
func eachRecording(t *testing.T, test func(t *testing.T, folder string)) {
	t.Helper()
	for _, version := range []string{"1.6", "2.4"} {
		t.Run(version, func(t *testing.T) { test(t, recordingOf(version)) })
	}
}

// recording is everything that one containerd had.
type recording struct {
	At         time.Time                     `json:"at"`
	Version    string                        `json:"version"`
	Namespaces map[string]*recordedNamespace `json:"namespaces"`
	Blobs      map[string]json.RawMessage    `json:"blobs"` // by digest
	// by PID: files and links; "" has those of the machine
	Proc   map[string]map[string]string `json:"proc"`
	Events []recordedEvent              `json:"events"` // in a file of its own
}

type recordedNamespace struct {
	Containers []recordedContainer `json:"containers"`
	Tasks      []json.RawMessage   `json:"tasks"` // task.Process
	Images     []recordedImage     `json:"images"`
}

type recordedContainer struct {
	ID          string                  `json:"id"`
	Labels      map[string]string       `json:"labels,omitempty"`
	Image       string                  `json:"image,omitempty"`
	Runtime     string                  `json:"runtime"`
	Snapshotter string                  `json:"snapshotter,omitempty"`
	CreatedAt   time.Time               `json:"created_at"`
	UpdatedAt   time.Time               `json:"updated_at"`
	Spec        recordedAny             `json:"spec"`
	Extensions  map[string]*recordedAny `json:"extensions,omitempty"`
}

// recordedAny is an Any with JSON in it.
type recordedAny struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

type recordedImage struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Target descriptor        `json:"target"`
}

type recordedEvent struct {
	Timestamp time.Time       `json:"timestamp"`
	Namespace string          `json:"namespace"`
	Topic     string          `json:"topic"`
	Type      string          `json:"type"`
	Event     json.RawMessage `json:"event"`
}

func (a *recordedAny) proto() *anypb.Any {
	return &anypb.Any{TypeUrl: a.Type, Value: a.Value}
}

func (c *recordedContainer) proto() *containersapi.Container {
	out := &containersapi.Container{
		ID: c.ID, Labels: c.Labels, Image: c.Image, Runtime: &containersapi.Container_Runtime{
			Name: c.Runtime}, Snapshotter: c.Snapshotter,
		CreatedAt: timestamppb.New(c.CreatedAt), UpdatedAt: timestamppb.New(c.UpdatedAt),
		Spec: c.Spec.proto(), Extensions: map[string]*anypb.Any{},
	}
	for key, value := range c.Extensions {
		out.Extensions[key] = value.proto()
	}
	return out
}

func (i *recordedImage) proto() *imagesapi.Image {
	return &imagesapi.Image{Name: i.Name, Labels: i.Labels,
		Target: &types.Descriptor{MediaType: i.Target.MediaType, Digest: i.Target.Digest,
			Size: i.Target.Size}}
}

func (e *recordedEvent) proto(t testing.TB) *types.Envelope {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(e.Type))
	if err != nil {
		t.Fatalf("event %s: %v", e.Topic, err)
	}
	m := kind.New().Interface()
	if err := protojson.Unmarshal(e.Event, m); err != nil {
		t.Fatalf("event %s: %v", e.Topic, err)
	}
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &types.Envelope{
		Timestamp: timestamppb.New(e.Timestamp), Namespace: e.Namespace, Topic: e.Topic,
		Event: &anypb.Any{TypeUrl: e.Type, Value: value},
	}
}

// load reads the recording and gives it to a fake containerd and to a folder that stands for /proc.
func load(t testing.TB, folder string) (r *recording, f *fakeContainerd, proc string) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(folder, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	r = new(recording)
	if err := json.Unmarshal(body, r); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(folder, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for scan := bufio.NewScanner(bytes.NewReader(lines)); scan.Scan(); {
		var e recordedEvent
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		r.Events = append(r.Events, e)
	}
	f = newFake(t)
	f.version = r.Version
	for name, in := range r.Namespaces {
		ns := f.namespace(name)
		for i := range in.Containers {
			ns.containers[in.Containers[i].ID] = in.Containers[i].proto()
		}
		for _, text := range in.Tasks {
			p := new(task.Process)
			if err := protojson.Unmarshal(text, p); err != nil {
				t.Fatal(err)
			}
			ns.tasks[p.ID] = p
		}
		for i := range in.Images {
			ns.images[in.Images[i].Name] = in.Images[i].proto()
		}
	}
	for digest, text := range r.Blobs {
		f.blobs[digest] = text
	}
	proc = t.TempDir()
	for pid, files := range r.Proc {
		for name, content := range files {
			path := filepath.Join(proc, pid, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if name == "ns/net" {
				err = os.Symlink(content, path)
			} else {
				err = os.WriteFile(path, []byte(content), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return r, f, proc
}

// save writes the recording.
func (r *recording) save(t testing.TB, folder string) {
	t.Helper()
	var events bytes.Buffer
	for _, e := range r.Events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		events.Write(append(line, '\n'))
	}
	state := *r
	state.Events = nil
	body, err := json.MarshalIndent(state, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.MkdirAll(folder, 0o755),
		os.WriteFile(filepath.Join(folder, "state.json"), append(body, '\n'), 0o644),
		os.WriteFile(filepath.Join(folder, "events.jsonl"), events.Bytes(), 0o644),
	); err != nil {
		t.Fatal(err)
	}
}
