package collection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// lossyFetcher streams, answers look-ups slowly, and loses its source when told to.
type lossyFetcher struct {
	fakeStreamer
	fetchFunc
}

func (f *lossyFetcher) Fetch(ctx context.Context, id workloadmeta.EntityID,
	sink workloadmeta.Sink) error {
	return f.fetchFunc(ctx, id, sink)
}

// What a look-up finds at a source that goes away meanwhile is forgotten like all else that the
// source said, if it does not come back.
func TestWhatAFetchFoundOfALostSourceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, lose, answer := true, make(chan struct{}), make(chan struct{})
		r := start(t, collection.Options{}, &lossyFetcher{
			fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
				if !there {
					return workloadmeta.Detection{Reason: "gone"}
				}
				return workloadmeta.Detection{State: workloadmeta.Detected}
			}}, func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Synced()
				select {
				case <-lose:
				case <-ctx.Done():
				}
				return errors.New("connection lost")
			}},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				sink.Set(container(id.ID))
				<-answer
				return nil
			}})
		synctest.Wait()
		fetched := make(chan error)
		go func() { fetched <- r.Fetch(t.Context(), containerID("a")) }()
		synctest.Wait()
		there = false
		close(lose)
		time.Sleep(5 * time.Second) // it has been looked for again
		close(answer)
		if err := <-fetched; err != nil {
			t.Fatal(err)
		}
		r.wantState("docker", collection.StateWaiting)
		r.wantHas(runtime, "a")
		if reports, _ := r.store.Reports(containerID("a")); reports[0].State != workloadmeta.Away {
			t.Errorf("it is %s, want away", reports[0].State)
		}
		time.Sleep(11 * time.Minute)
		r.wantHas(runtime, "")
	})
}

// What a collector's live stream reports stays while its pulls fail, and is in doubt when the
// stream has ended, too.
func TestAFailingPullForgetsNothingOfALiveStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, &fakeBoth{fake{id: "docker"},
			script(func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(container("a"))
				sink.Synced()
				select {
				case <-ctx.Done():
				case <-time.After(time.Hour):
				}
				return errors.New("connection lost")
			}, failing(errors.New("connection refused"))),
			failing(errors.New("timeout"))})
		time.Sleep(time.Hour - time.Minute)
		r.wantHas(runtime, "a")
		if reports, _ := r.store.Reports(containerID("a")); reports[0].State != workloadmeta.Live {
			t.Errorf("it is %s", reports[0].State)
		}
		time.Sleep(12 * time.Minute)
		r.wantHas(runtime, "")
	})
}

// Of two who have gone away, the one that has confirmed it last counts.
func TestWhatTwoHaveLostStaysUntilTheLaterIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := func(d time.Duration) streamFunc {
			return script(func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(container("a"))
				sink.Synced()
				select {
				case <-ctx.Done():
				case <-time.After(d):
				}
				return errors.New("connection lost")
			}, failing(errors.New("connection refused")))
		}
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"}, until(time.Minute)},
			&fakeStreamer{fake{id: "containerd"}, until(9 * time.Minute)})
		time.Sleep(18 * time.Minute)
		r.wantHas(runtime, "a")
		time.Sleep(2 * time.Minute)
		r.wantHas(runtime, "")
		if f, ok := r.Forgotten(containerID("a")); !ok || f.Reporter != "containerd" {
			t.Errorf("why: %+v, %v", f, ok)
		}
	})
}

// The late end of an old process is no end of the one that has its ID now, whose own end counts.
func TestTheEndOfAnOldProcessLeavesTheNewOneToItsReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newHand("process")
		stream.kinds = []workloadmeta.Kind{workloadmeta.KindProcess}
		r := start(t, collection.Options{}, stream)
		sink := <-stream.sinks
		sink.Set(process(7, 200))
		sink.Unset(process(7, 1))
		synctest.Wait()
		r.wantHas(runtime, "7")
		sink.Unset(process(7, 200))
		synctest.Wait()
		r.wantHas(runtime, "")
	})
}

// A collector that says when its process was started knows its end, whatever others say of the ID.
func TestTheEndOfAProcessIsOfTheOneThatItsReporterHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sinks := map[string]workloadmeta.Sink{}
		var collectors []workloadmeta.Collector
		for _, id := range []string{"process", "other"} {
			stream := newHand(id)
			stream.kinds = []workloadmeta.Kind{workloadmeta.KindProcess}
			collectors = append(collectors, stream)
		}
		r := start(t, collection.Options{}, collectors...)
		for i, id := range []string{"process", "other"} {
			sinks[id] = <-collectors[i].(*hand).sinks
		}
		sinks["process"].Set(process(7, 200))
		sinks["other"].Set(process(7, 300))
		sinks["process"].Unset(process(7, 1))
		synctest.Wait()
		if n := r.status("process").Entities; n != 1 {
			t.Errorf("it reports %d after the end of one that it did not report", n)
		}
		sinks["process"].Unset(process(7, 200))
		synctest.Wait()
		if n := r.status("process").Entities; n != 0 {
			t.Errorf("it still reports %d, and has seen the end", n)
		}
		if n := r.status("other").Entities; n != 1 {
			t.Errorf("the other reports %d", n)
		}
	})
}

// A scan of processes infers that a container is there. Whoever has seen its end knows better,
// until the scan says something else.
func TestWhatIsInferredEndsWithWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docker, scan := newHand("docker"), newHand("process")
		scan.source = workloadmeta.SourceProcess
		r := start(t, collection.Options{}, docker, scan)
		seen, inferred := <-docker.sinks, <-scan.sinks
		// told returns how often the store was told of what is inferred.
		told := func() (n int) {
			synctest.Wait()
			for _, batch := range r.store.changes() {
				for _, ev := range batch {
					if ev == fmt.Sprintf("set %s container/a", workloadmeta.SourceProcess) {
						n++
					}
				}
			}
			return n
		}
		inferred.Set(container("a"))
		seen.Set(container("a"))
		inferred.Set(container("a"))
		if n := told(); n != 2 {
			t.Errorf("told %d times of what is inferred, want twice", n)
		}
		seen.Unset(seenAs("web", workloadmeta.StatusStopped))
		inferred.Set(container("a"))
		if n := told(); n != 0 {
			t.Error("what has ended is inferred again")
		}
		inferred.Set(seenAs("new", workloadmeta.StatusRunning))
		if n := told(); n != 1 {
			t.Error("something new is inferred, and the store not told")
		}
	})
}

// While a look-up is under way, what only infers may stop to do so: that says nothing of the
// entity.
func TestWhatIsNoLongerInferredMayBeFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, answer := newHand("process"), make(chan struct{})
		scan.source = workloadmeta.SourceProcess
		r := start(t, collection.Options{}, scan, &fakeFetcher{fake{id: "ecs"},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				sink.Set(container(id.ID))
				<-answer
				return nil
			}})
		inferred := <-scan.sinks
		inferred.Set(container("a"))
		done := make(chan error)
		go func() { done <- r.Fetch(t.Context(), containerID("a")) }()
		synctest.Wait()
		inferred.Unset(container("a"))
		close(answer)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.wantHas(runtime, "a")
	})
}

// Nor does a look-up bring back what the same collector has ceased to infer meanwhile.
func TestALookUpDoesNotInferWhatTheScanDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, sinks := make(chan struct{}), make(chan workloadmeta.Sink, 1)
		r := start(t, collection.Options{}, &lossyFetcher{
			fakeStreamer{fake{id: "process", source: workloadmeta.SourceProcess},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					sink.Synced()
					sinks <- sink
					<-ctx.Done()
					return nil
				}},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				sink.Set(container(id.ID))
				<-answer
				return nil
			}})
		sink := <-sinks
		sink.Set(container("a"))
		done := make(chan error)
		go func() { done <- r.Fetch(t.Context(), containerID("a")) }()
		synctest.Wait()
		sink.Unset(container("a"))
		close(answer)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.wantHas(workloadmeta.SourceProcess, "")
	})
}
