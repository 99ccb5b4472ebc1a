package docker

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

func parse[T any](t *testing.T, text string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Known bug #21: with the containerd image store, which is the default from Docker 29 on, an
// image's ID is the digest of its index or manifest. Whoever took it for that of the configuration
// found no image for its containers.
func TestBug21ImagesOfTheContainerdStore(t *testing.T) {
	index, manifest := "sha256:"+strings.Repeat("1d", 32), "sha256:"+strings.Repeat("3a", 32)
	layer := "sha256:" + strings.Repeat("1a", 32)
	const media = "application/vnd.oci.image.index.v1+json"
	descriptor := `{"mediaType":"` + media + `","digest":"` + index + `","size":1609}`
	names := `"Id":"` + index + `","RepoTags":["reg.test/app:1"],"RepoDigests":["reg.test/app@` +
		index + `"],"Descriptor":` + descriptor

	listed, err := mapImageList(parse[dockerimage.Summary](t,
		`{`+names+`,"Size":7,"Containers":-1,"SharedSize":-1}`))
	if err != nil {
		t.Fatal(err)
	}
	image, err := mapImage(parse[dockerimage.InspectResponse](t, `{`+names+`,"Size":7,"Os":"linux","Architecture":"amd64",
		"RootFS":{"Type":"layers","Layers":["`+layer+`"]}}`), nil, builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	inspected, err := mapInspect(parse[container.InspectResponse](t, `{"Id":"c1","Name":"/web","Image":"`+index+`","State":{"Status":"running","Pid":7},
		"Config":{"Image":"reg.test/app:1"},"ImageManifestDescriptor":{"digest":"`+manifest+`","platform":{"os":"linux","architecture":"amd64"}}}`), builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	inList, err := mapList(parse[container.Summary](t, `{"Id":"c1","Names":["/web"],"Image":"reg.test/app:1","ImageID":"`+index+`","State":"running",
		"Status":"Up 5 minutes","ImageManifestDescriptor":{"digest":"`+manifest+`"}}`))
	if err != nil {
		t.Fatal(err)
	}

	if image.ID != index || listed.ID != index || image.MediaType != media ||
		listed.MediaType != media || image.Name != "reg.test/app:1" {
		t.Errorf("image = %+v, in the list %+v", image, listed)
	}
	if len(image.Layers) != 1 || image.Layers[0].Digest != layer {
		t.Errorf("layers = %+v", image.Layers)
	}
	if !sameAsListed(inspected.Entity, inList) {
		t.Errorf("list and inspection differ, and each comparison would find that:\n%s",
			cmp.Diff(inspected.Entity, inList))
	}
	known := mapping.NamesOf(image)
	got := mapping.ResolveImage(inspected.Entity.Image.ID, inspected.Entity.Image.RawName, &known)
	if got.ID != image.ID || got.RepoDigest != index || got.Name != "reg.test/app" ||
		got.Tag != "1" {
		t.Errorf("the container's image = %+v, want that of the image entity %s", got, image.ID)
	}
	// A container that was started by digest, or whose tag is gone.
	for _, raw := range []string{index, "reg.test/app@" + index} {
		if got := mapping.ResolveImage(index, raw, &known); got.ID != index ||
			got.Name != "reg.test/app" || got.RepoDigest != index {
			t.Errorf("started as %s: image = %+v", raw, got)
		}
	}
}

// Known bug #22: from API 1.52 on, events have no status, id and from, and several media types.
func TestBug22EventsWithoutTheOldFields(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(recordings, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var old, without, lying bytes.Buffer
	fields := 0
	for line := range bytes.Lines(body) {
		old.Write(line)
		m := *parse[map[string]json.RawMessage](t, string(line))
		for _, key := range []string{"status", "id", "from"} {
			if _, ok := m[key]; ok {
				fields++
			}
			delete(m, key)
		}
		write := func(w *bytes.Buffer, prefix string) {
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteString(prefix)
			w.Write(text)
			w.WriteByte('\n')
		}
		write(&without, "\x1e") // application/json-seq
		m["status"], m["id"], m["from"] = json.RawMessage(`"die"`), json.RawMessage(`"another"`),
			json.RawMessage(`"other:1"`)
		write(&lying, "")
	}
	if fields == 0 {
		t.Fatal("the recording has none of the old fields")
	}
	read := func(b *bytes.Buffer) []runtimesync.Event {
		t.Helper()
		e := &events{lines: mapping.NewLines(b), decode: decodeEvent}
		var all []runtimesync.Event
		for {
			some, err := e.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, some...)
		}
	}
	want := read(&old)
	if len(want) < 20 {
		t.Fatalf("%d events", len(want))
	}
	for name, b := range map[string]*bytes.Buffer{"without the old fields": &without,
		"with others in the old fields": &lying} {
		got := read(b)
		if len(got) != len(want) {
			t.Errorf("%s: %d events, want %d", name, len(got), len(want))
			continue
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%s: %+v, want %+v", name, got[i], want[i])
				break
			}
		}
	}
	// What only the old fields tell is no event, and the lists make up for it.
	e := &events{
		lines: mapping.NewLines(
			strings.NewReader(`{"status":"start","id":"c1","from":"app:1","time":1}` + "\n")),
		decode: decodeEvent}
	if some, err := e.Next(); !runtimesync.IsLost(err) {
		t.Errorf("an event of old: %v, %v", some, err)
	}
}
