package cri

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected entities in testdata")

// TestRecorded compares whole entities: those of a real containerd, see TestRecord, and of answers made by hand.
func TestRecorded(t *testing.T) {
	for _, folder := range []string{"containerd-1.6-cri", "cri-o-made-by-hand"} {
		t.Run(folder, func(t *testing.T) {
			folder = filepath.Join("testdata", folder)
			f := loadFake(t, folder)
			c := newCollector(t, f.socket(t), nil)
			got := c.pull()
			byName := map[string]any{} // IDs are new with each recording
			for _, k := range got.containers {
				byName[k.Name] = k
			}
			if len(byName) != len(f.containers) {
				t.Errorf("%d containers of %d", len(byName), len(f.containers))
			}
			images := map[string]any{}
			for _, i := range got.images {
				images[i.Name] = i
			}
			for name, v := range map[string]any{"containers.json": byName, "images.json": images} {
				text, err := json.MarshalIndent(v, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(text, []byte("hunter")) {
					t.Errorf("a secret is in %s", name)
				}
				compare(t, filepath.Join(folder, "want", name), append(text, '\n'))
			}
			f.count("")
			again := c.pull()
			if n := f.count(""); n != 2 {
				t.Errorf("the second pull made %d calls", n)
			}
			for id, k := range got.containers {
				if again.containers[id] != k {
					t.Errorf("what has not changed is another entity: %s", cmp.Diff(k, again.containers[id]))
				}
			}
		})
	}
}

func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", path, diff)
	}
}
