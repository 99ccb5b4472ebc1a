package runtimesync

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// The numbers are those of docs/known-bugs.md, which also names the tests that have other names.

// panickingClient panics over answers, as a client library did.
type panickingClient struct {
	*fakeClient
	over map[string]bool // "list", or what is inspected
}

func (b *panickingClient) check(what string) {
	panics := false
	b.with(func() { panics = b.over[what] })
	if panics {
		panic("a decoder's index is out of range")
	}
}

func (b *panickingClient) List(ctx context.Context) (Listing, error) {
	b.check("list")
	return b.fakeClient.List(ctx)
}

func (b *panickingClient) Inspect(ctx context.Context, key string) (Container, error) {
	b.check(key)
	return b.fakeClient.Inspect(ctx, key)
}

func (b *panickingClient) InspectImage(ctx context.Context, ref string, full bool) (Image, error) {
	b.check(ref)
	return b.fakeClient.InspectImage(ctx, ref, full)
}

// Known bug #4: a panic of the client library over one answer ended the process.
func TestBug4PanicOverAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := &panickingClient{newFakeClient(), map[string]bool{"bad": true, image1: true}},
			collectortest.NewWorld()
		b.run("bad", "bad", image1, nil)
		b.run("good", "good", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(3 * time.Second)
		if w.Container("good") == nil || w.Container("bad") == nil || w.Synced() != 1 {
			t.Errorf("good %v, bad %v, synced %d times: want both, the latter from the list",
				w.Container("good"), w.Container("bad"), w.Synced())
		}
		b.with(func() { b.over["list"] = true })
		time.Sleep(8 * time.Second) // the first comparison
		b.run("new", "new", image1, nil)
		b.send(Event{Action: ActionStarted, Key: "new"})
		time.Sleep(time.Second)
		if w.Container("new") == nil {
			t.Error("events are not handled any more")
		}
		b.with(func() { clear(b.over); delete(b.containers, "good") })
		time.Sleep(10 * time.Minute)
		if w.Container("good") != nil {
			t.Error("lists are not compared any more")
		}
		if n := f.Stats().DecodePanics; n < 3 {
			t.Errorf("%d panics were counted", n)
		}
		r.Stop()
	})
}

// Known bug #41: what was remembered of containers and images that are gone grew without bounds.
func TestBug41WhatIsRememberedIsBounded(t *testing.T) {
	for _, noImages := range []bool{false, true} {
		t.Run(fmt.Sprint("without images ", noImages), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, w := newFakeClient(), collectortest.NewWorld()
				f := newSyncer(t, func(o *Options) { o.NoImages = noImages })
				r := follow(t, f, b, w)
				time.Sleep(time.Second)
				const n = maxEnded + 1000
				for i := range n {
					key, image := fmt.Sprint("c", i), fmt.Sprintf("sha256:%064x", i)
					b.with(func() {
						b.images[image] = fakeImage(image, uint64(i), fmt.Sprint("app:", i))
					})
					b.run(key, key, image, nil)
					c := copied(b.containers[key])
					now := time.Now()
					b.send(
						Event{Name: "create " + key, Action: ActionImageChanged, Key: image,
							ID: "i" + key, At: now},
						Event{Name: "start " + key, Action: ActionStarted, Key: key,
							Container: c.Entity, ID: "s" + key, At: now},
					)
					time.Sleep(time.Second / 20) // for the inspections
					b.with(func() { delete(b.containers, key); delete(b.images, image) })
					b.send(Event{Action: ActionEnded, Key: key, At: time.Now(), ID: "e" + key},
						Event{Action: ActionImageRemoved, Key: image})
					if i%2 == 0 { // and then somebody asks for an image that is not there
						b.send(Event{Action: ActionImageChanged, Key: image})
					}
				}
				time.Sleep(time.Hour)
				st := f.Stats()
				r.Stop()
				if len(w.Live()) != 0 || st.Containers != 0 || st.Images != 0 ||
					st.QueueDepth != 0 || st.BreakerOpen != 0 || len(st.Events) > maxActions+1 {
					t.Errorf("%d entities are there; stats = %+v", len(w.Live()), st)
				}
				if st.Published < 2*n {
					t.Errorf("only %d changes of %d containers were told", st.Published, n)
				}
				k := f.machine
				if len(k.containers)+len(k.images)+len(k.owners)+len(k.users) != 0 {
					t.Errorf(
						"%d containers, %d images, %d owners of IDs and %d used images are remembered", len(k.containers), len(k.images), len(k.owners), len(k.users))
				}
				if k.names.Len() > maxNames || k.goneImages.Len() > maxNames ||
					k.recentlyEnded.Len() > maxEnded || k.recentEvents.Len() > maxRecent {
					t.Errorf("%d names, %d gone images, %d ends and %d events are remembered",
						k.names.Len(), k.goneImages.Len(), k.recentlyEnded.Len(),
						k.recentEvents.Len())
				}
			})
		})
	}
}
