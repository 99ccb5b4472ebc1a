package lxc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// The guide for authors of collectors promises that this is all there is to write.
func TestTheCollectorOfTheGuide(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"web", "db"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := collectortest.NewEngine(t, New(Options{Dir: dir}))
		e.WaitSynced()
		for _, name := range []string{"web", "db"} {
			if _, err := e.Store.GetContainerByName(name); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait() // until subscribers have been told
		e.News()
		if err := os.Remove(filepath.Join(dir, "web")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // takes none: two periods in the bubble
		if got := e.News(); len(got) != 1 || !strings.HasPrefix(got[0], "unset container/web") {
			t.Errorf("told %q, want the end of web", got)
		}
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := e.Status("lxc"); s.State != collection.StateWaiting || e.Store.Len() != 1 {
			t.Errorf("without its folder it is %s: %s", s.State, s.Reason)
		}
		collectortest.Golden(t, "testdata/db.json", e.Store.Dump()[0].Entity)
	})
}

func TestTheGuideShowsThisCode(t *testing.T) {
	source, err := os.ReadFile("lxc.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../../docs/collectors.md")
	if err != nil {
		t.Fatal(err)
	}
	// The guide leaves out the comments that only exported names need.
	var lines []string
	for line := range strings.Lines(string(source)) {
		if !strings.HasPrefix(line, "//") || strings.HasPrefix(line, "// Package") {
			lines = append(lines, line)
		}
	}
	if shown := strings.Join(lines, ""); !strings.Contains(string(guide), shown) {
		t.Errorf("docs/collectors.md does not contain the code of lxc.go:\n%s", shown)
	}
}
