package collection_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// step is one thing a modelled collector does.
type step struct {
	do  string // set, unset, synced, fail
	ids []string
}

// modelled is what one collector must be remembered to have reported.
type modelled struct {
	reported map[string]bool // earlier and not withdrawn
	now      map[string]bool // by the run under way
	synced   bool            // the run under way
	down     bool            // since the last failure nothing has been listed in full
}

// votes reports whether the collector stands by an entity.
func (m *modelled) votes(id string) bool {
	return m.reported[id] && (!m.down || m.now[id])
}

// TestMarkAndSweepModel lets three collectors of one source do random things, one at a
// time, and compares the store with a model after each.
func TestMarkAndSweepModel(t *testing.T) {
	ids := rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Split("a b c d e f", " ")), 0, 4,
		rapid.ID)
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newStore()
			var collectors []workloadmeta.Collector
			steps := make([]chan step, 3)
			model := make([]*modelled, 3)
			for i := range steps {
				steps[i] = make(chan step)
				model[i] = &modelled{reported: map[string]bool{}, now: map[string]bool{}}
				play := func(ctx context.Context, sink workloadmeta.Sink, pull bool) error {
					for {
						select {
						case <-ctx.Done():
							return nil
						case st := <-steps[i]:
							switch st.do {
							case "set":
								sink.Set(containers(st.ids...)...)
							case "unset":
								sink.Unset(containers(st.ids...)...)
							case "fail":
								return errors.New("fails")
							case "synced":
								sink.Synced()
								if pull {
									return nil
								}
							}
						}
					}
				}
				stream := func(ctx context.Context,
					sink workloadmeta.Sink) error {
					return play(ctx, sink, false)
				}
				pull := func(ctx context.Context,
					sink workloadmeta.Sink) error {
					return play(ctx, sink, true)
				}
				if i < 2 {
					collectors = append(collectors,
						&fakeStreamer{fake{id: string(rune('0' + i))}, stream})
				} else {
					collectors = append(collectors, &fakePuller{fake{id: "2"}, pull})
				}
			}
			s, err := collection.New(collection.Options{Store: store, Collectors: collectors,
				PullTimeout: 1000 * time.Hour, ForgetAfter: 1000 * time.Hour})
			if err != nil {
				rt.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				rt.Fatal(err)
			}
			defer s.Stop(context.Background())

			want := map[string]bool{} // what the store must have
			remove := func(me int, id string) {
				if !model[me].reported[id] {
					return
				}
				delete(model[me].reported, id)
				for _, m := range model {
					if m.votes(id) {
						return
					}
				}
				delete(want, id)
			}
			var pulled []step // what the pull under way has said so far
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				time.Sleep(time.Minute) // whoever has failed is trying again by now
				i := rapid.IntRange(0, 2).Draw(rt, "collector")
				st := step{do: rapid.SampledFrom([]string{"set", "set", "set", "unset", "synced",
					"fail"}).Draw(rt, "do")}
				if st.do == "set" || st.do == "unset" {
					st.ids = ids.Draw(rt, "ids")
				}
				steps[i] <- st
				synctest.Wait()

				m := model[i]
				apply := func(st step) {
					for _, id := range st.ids {
						if st.do == "set" {
							m.reported[id], m.now[id], want[id] = true, true, true
						} else {
							delete(m.now, id)
							remove(i, id)
						}
					}
				}
				switch {
				case st.do == "fail":
					m.down, m.now, pulled = true, map[string]bool{}, drop(pulled, i == 2)
				case i < 2 && st.do == "synced":
					m.down = false
					for id := range m.reported {
						if !m.now[id] && !m.synced {
							remove(i, id)
						}
					}
					// From here on everything reported is of this run.
					m.now = map[string]bool{}
					for id := range m.reported {
						m.now[id] = true
					}
				case i < 2:
					apply(st)
				case st.do != "synced":
					pulled = append(pulled, st)
				default:
					m.down, m.now = false, map[string]bool{}
					for _, p := range pulled {
						apply(p)
					}
					for id := range m.reported {
						if !m.now[id] {
							remove(i, id)
						}
					}
					pulled = nil
				}

				var list []string
				for id := range want {
					list = append(list, id)
				}
				slices.Sort(list)
				if got, want := store.has(runtime), strings.Join(list, " "); got != want {
					rt.Fatalf("after collector %d did %v the store has %q, want %q", i, st, got,
						want)
				}
				for n, status := range s.Status() {
					if status.Entities != len(model[n].reported) {
						rt.Fatalf(
							"after collector %d did %v, collector %d has %d entities, want %d", i,
							st, n, status.Entities, len(model[n].reported))
					}
				}
			}
			if len(store.misuse) > 0 {
				rt.Fatal(store.misuse)
			}
		})
	})
}

func drop(steps []step, really bool) []step {
	if really {
		return nil
	}
	return steps
}
