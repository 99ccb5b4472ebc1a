package collectortest_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// A test changes what the source has, and looks at what programs see of it. The source is a
// [collectortest.Fake]; a collector of your own is run in the same way.
func Example() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()
	runtime := collectortest.NewFake(workloadmeta.Description{ID: "lxc",
		Source: workloadmeta.SourceRuntime, Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}})
	engine := collectortest.NewEngine(t, runtime)
	engine.WaitSynced()

	runtime.Set(&workloadmeta.Container{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c1"},
		EntityMeta: workloadmeta.EntityMeta{Name: "web"}})
	web, err := engine.Store.GetContainerByName("web")
	fmt.Println(web, err)

	runtime.Unset(web)
	fmt.Println(engine.Store.Len(), engine.Status("lxc").State)
	// Output:
	// container/c1 {"name":"web"} <nil>
	// 0 live
}

// exampleT is what of a *testing.T an example needs.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Output() io.Writer        { return io.Discard }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Error(args ...any)        { fmt.Println(args...) }

func (t *exampleT) end() {
	for _, cleanup := range t.cleanups {
		cleanup()
	}
}
