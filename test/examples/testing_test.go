package examples_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/taggertest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/scripts"
)

// ServiceOf returns the service of a container, for which it waits at most a second.
func ServiceOf(ctx context.Context, tags tagger.Component, containerID string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	set, _, err := tags.TagWait(ctx, tagger.Container(containerID), tagger.LowCardinality,
		tagger.Complete)
	if err != nil {
		return "unknown"
	}
	service, _ := set.Get("service")
	return service
}

func TestServiceOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tags := taggertest.New(t, taggertest.Map{"container_id://c1": {"service:web"}})
		if got := ServiceOf(t.Context(), tags, "c1"); got != "web" {
			t.Errorf("service %q", got)
		}
		// Half a second later somebody tells of c2.
		time.AfterFunc(time.Second/2, func() { tags.Set("container_id://c2", "service:mail") })
		if got := ServiceOf(t.Context(), tags, "c2"); got != "mail" {
			t.Errorf("service %q of what comes late", got)
		}
		if got := ServiceOf(t.Context(), tags, "c3"); got != "unknown" {
			t.Errorf("service %q of what nobody knows", got)
		}
	})
}

// Ended calls f with the name and the exit code of each container that ends.
func Ended(ctx context.Context, store workloadmeta.Component, f func(name string, code int64)) {
	sub := store.Subscribe("ended", workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		for _, ev := range bundle.Events {
			c := ev.Entity.(*workloadmeta.Container)
			if ev.Type == workloadmeta.EventTypeUnset && c.State.ExitCode != nil {
				f(c.Name, *c.State.ExitCode)
			}
		}
	}
}

func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docker := collectortest.NewFake(workloadmeta.Description{ID: "docker",
			Source: workloadmeta.SourceRuntime,
			Kinds:  []workloadmeta.Kind{workloadmeta.KindContainer}})
		engine := collectortest.NewEngine(t, docker)
		var ends []string
		go Ended(t.Context(), engine.Store, func(name string, code int64) {
			ends = append(ends, name)
		})
		web := &workloadmeta.Container{
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c1"},
			EntityMeta: workloadmeta.EntityMeta{Name: "web"}}
		last := *web
		last.State.ExitCode = new(int64(3))

		docker.Set(web)
		docker.Lose(nil) // the daemon is restarted …
		time.Sleep(5 * time.Second)
		docker.Restore()
		time.Sleep(30 * time.Second) // … and found again
		docker.Unset(&last)
		synctest.Wait() // until everybody has been told
		if !slices.Equal(ends, []string{"web"}) {
			t.Errorf("%q have ended, want web, once", ends)
		}
	})
}

func TestMyScripts(t *testing.T) { scripts.Run(t, "testdata/scripts") }

// What docs/testing.md shows is in files that are compiled and run.
func TestTheTestingGuideShowsTestedCode(t *testing.T) {
	guide, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	var tested strings.Builder
	for _, pattern := range []string{"*.go", "lxc/*.go", "testdata/scripts/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tested.Write(text)
		}
	}
	blocks := strings.Split(string(guide), "```")
	shown := 0
	for i := 1; i < len(blocks); i += 2 {
		language, code, _ := strings.Cut(blocks[i], "\n")
		if language != "go" && language != "txtar" {
			continue
		}
		shown++
		if !strings.Contains(tested.String(), code) {
			t.Errorf("no file has this code of docs/testing.md:\n%s", code)
		}
	}
	if shown < 4 {
		t.Errorf("docs/testing.md shows %d pieces of code", shown)
	}
}
