package lxc

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
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
		entities := store.New(store.Options{})
		defer entities.Close()
		s, err := collection.New(collection.Options{
			Store: entities, Collectors: []workloadmeta.Collector{New(Options{Dir: dir})},
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Stop(t.Context()) }()
		if err := entities.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"web", "db"} {
			if _, err := entities.GetContainerByName(name); err != nil {
				t.Error(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "web")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // in the bubble: two periods
		if _, err := entities.GetContainer("web"); !errors.Is(err, workloadmeta.ErrNotFound) {
			t.Errorf("a container that has gone: %v", err)
		}
		if _, err := entities.GetContainer("db"); err != nil {
			t.Error(err)
		}
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
