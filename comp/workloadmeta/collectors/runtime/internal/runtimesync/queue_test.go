package runtimesync

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQueueModel checks the queue's promises over random operations with a clock.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const coalesce = 100 * time.Millisecond
		q := newQueue(coalesce, 5*time.Second, 5*time.Minute)
		now := time.Unix(1_800_000_000, 0)
		type look struct {
			generation uint64
			void       bool // a barrier or a forget came later
		}
		running := map[key]*look{}
		last := map[key]time.Time{}
		failures := map[key]int{}
		dirty := map[key]bool{} // marked since the last look began
		keys := rapid.SampledFrom([]key{{id: "a"}, {id: "b"}, {image: true, id: "a"}})
		t.Repeat(map[string]func(*rapid.T){
			"mark": func(t *rapid.T) {
				k, barrier := keys.Draw(t, "key"), rapid.Bool().Draw(t, "barrier")
				q.mark(k, barrier, now)
				dirty[k] = true
				if r := running[k]; r != nil && barrier {
					r.void = true
				}
			},
			"forget": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				q.forget(k)
				delete(dirty, k)
				delete(last, k)
				delete(failures, k)
				if r := running[k]; r != nil {
					r.void = true
					running[key{id: "forgotten " + k.id, image: k.image}] = r
					delete(running, k)
				}
			},
			"supersede": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				q.supersede(k)
				if r := running[k]; r != nil {
					r.void, dirty[k] = true, true
				}
			},
			"renew": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				q.renew(k, now)
				failures[k] = 0
				if e := q.entries[k]; e != nil && e.heapIndex >= 0 &&
					e.due.After(now.Add(coalesce)) {
					t.Fatalf("%v is renewed, and looked at in %v", k, e.due.Sub(now))
				}
			},
			"next": func(t *rapid.T) {
				want := nextOf(q)
				if pause, ok := q.wait(now); ok != (want != nil) ||
					ok && pause != max(0, earliest(q).Sub(now)) {
					t.Fatalf("the next look is in %v, %v; want %v", pause, ok, want)
				}
				k, generation, ok := q.next(now)
				if !ok {
					if want != nil && !earliest(q).After(now) {
						t.Fatalf("a look at %v is due", want.key)
					}
					return
				}
				if k.image == want.key.image && q.entries[k].due.After(want.due) {
					t.Fatalf("a look at %v, and %v is due longer", k, want.key)
				}
				if running[k] != nil {
					t.Fatalf("two looks at %v", k)
				}
				if !dirty[k] {
					t.Fatalf("a look at %v, which is not marked", k)
				}
				if at, ok := last[k]; ok && now.Sub(at) < coalesce {
					t.Fatalf("looks at %v %v apart", k, now.Sub(at))
				}
				if n := failures[k]; n > 0 && now.Sub(last[k]) < 5*time.Second {
					t.Fatalf("a look at %v %v after a failure", k, now.Sub(last[k]))
				}
				running[k] = &look{generation: generation}
				last[k] = now
				delete(dirty, k)
			},
			"done": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				r := running[k]
				if r == nil {
					return
				}
				delete(running, k)
				if lookResult := q.done(k, r.generation, now); (lookResult == usable) == r.void {
					t.Fatalf("lookResult %d on a look at %v, void %v", lookResult, k, r.void)
				}
				failures[k] = 0
			},
			"failed": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				r := running[k]
				if r == nil {
					return
				}
				delete(running, k)
				q.failed(k, r.generation, rapid.Bool().Draw(t, "slow"), now)
				failures[k]++
				dirty[k] = true // it is tried again
			},
			"time": func(t *rapid.T) {
				now = now.Add(
					time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				// Everything that is marked is waiting or will be after the look that runs.
				for k := range dirty {
					if e := q.entries[k]; e == nil || e.heapIndex < 0 && e.looking == 0 {
						t.Fatalf("%v is marked and nothing will look at it", k)
					}
				}
				open := 0
				for _, n := range failures {
					if n > 0 {
						open++
					}
				}
				waiting := 0
				for _, e := range q.entries {
					if e.heapIndex >= 0 {
						waiting++
					}
				}
				if q.waiting() != waiting {
					t.Fatalf("%d keys wait, want %d", q.waiting(), waiting)
				}
				if q.open != open {
					t.Fatalf("%d failing keys, want %d", q.open, open)
				}
			},
		})
	})
}

// nextOf returns the entry that has been due longest, a container's before an image's if both are
// due; nil if none waits.
func nextOf(q *queue) *entry {
	var next *entry
	for _, e := range q.entries {
		switch {
		case e.heapIndex < 0:
		case next == nil, next.key.image && !e.key.image:
			next = e
		case next.key.image == e.key.image && e.due.Before(next.due):
			next = e
		}
	}
	return next
}

// earliest returns when the first of those that wait is due.
func earliest(q *queue) (due time.Time) {
	for _, e := range q.entries {
		if e.heapIndex >= 0 && (due.IsZero() || e.due.Before(due)) {
			due = e.due
		}
	}
	return due
}

func TestQueueBackoff(t *testing.T) {
	q := newQueue(time.Millisecond, 5*time.Second, 5*time.Minute)
	now := time.Unix(1_800_000_000, 0)
	q.mark(key{id: "a"}, false, now)
	var pauses []time.Duration
	for range 9 {
		k, generation, ok := q.next(now)
		if !ok {
			t.Fatal("nothing is due")
		}
		q.failed(k, generation, true, now)
		q.mark(k, true, now) // must not hurry it
		pause, _ := q.wait(now)
		pauses = append(pauses, pause)
		now = now.Add(pause)
	}
	want := []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300}
	for i := range want {
		if pauses[i] != want[i]*time.Second {
			t.Fatalf("pauses = %v", pauses)
		}
	}
	// A daemon that is slow altogether is no reason to wait longer for one container.
	q.forget(key{id: "a"})
	q.mark(key{id: "a"}, false, now)
	for range 3 {
		k, generation, _ := q.next(now)
		q.failed(k, generation, false, now)
		if pause, _ := q.wait(now); pause != 5*time.Second {
			t.Fatalf("pause = %v", pause)
		}
		now = now.Add(5 * time.Second)
	}
	q.renew(key{id: "a"}, now)
	if pause, ok := q.wait(now); !ok || pause > time.Millisecond || q.open != 0 {
		t.Fatalf("pause after renew = %v, %d failing", pause, q.open)
	}
}
