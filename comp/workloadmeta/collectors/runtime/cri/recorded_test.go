package cri

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// recordings are folders of testdata.
var recordings = [...]string{"containerd-1.6-cri", "containerd-2.4-cri", "cri-o-made-by-hand"}

// TestRecorded compares whole entities: those of a real containerd, see TestRecord, and of answers
// made by hand.
func TestRecorded(t *testing.T) {
	for _, folder := range recordings {
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
				collectortest.Golden(t, filepath.Join(folder, "want", name), v)
			}
			f.count("")
			again := c.pull()
			if n := f.count(""); n != 2 {
				t.Errorf("the second pull made %d calls", n)
			}
			for id, k := range got.containers {
				if again.containers[id] != k {
					t.Errorf("what has not changed is another entity: %s",
						cmp.Diff(k, again.containers[id]))
				}
			}
		})
	}
}
