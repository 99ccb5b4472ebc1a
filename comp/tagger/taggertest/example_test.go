package taggertest_test

import (
	"errors"
	"fmt"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/taggertest"
)

// A test says which tags there are, and changes them while the code under test asks.
func Example() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()
	const web = tagger.EntityID("container_id://c1")
	tags := taggertest.New(t, taggertest.Map{web: {"env:prod", "service:web"}})
	taggertest.WantTags(t, tags, web, tagger.LowCardinality, "service:web", "env:prod")

	fmt.Println(tags.Tag(web, tagger.LowCardinality)) // as the code under test asks
	tags.Set(web, "service:shop")
	fmt.Println(tags.Tag(web, tagger.LowCardinality))
	tags.Unset(web) // what has ended keeps its tags for a while
	fmt.Println(tags.Tag(web, tagger.LowCardinality))
	tags.Forget()
	_, err := tags.Tag(web, tagger.LowCardinality)
	fmt.Println(errors.Is(err, tagger.ErrExpired))
	taggertest.WantSome(t, tags, "container_id://c2", "service:mail") // fails the test
	// Output:
	// [env:prod service:web] <nil>
	// [service:shop] <nil>
	// [service:shop] <nil>
	// true
	// tags of container_id://c2: container_id://c2: unknown entity
}

// exampleT prints how a test fails, as an example has no *testing.T.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleT) Fatalf(format string, args ...any) { t.Errorf(format, args...) }

func (t *exampleT) end() {
	for _, cleanup := range t.cleanups {
		cleanup()
	}
}
