package collection_test

import (
	"context"
	"errors"
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
