package cri

import (
	"maps"
	"sync"
	"time"
)

// Stats counts what the collector has done since it was made.
type Stats struct {
	Pulls         int
	Calls         map[string]int // by method: "ListContainers"
	FailedCalls   map[string]int // of those
	DecodePanics  int            // panics while reading an answer
	DecodeErrors  int            // answers, or parts of them, that could not be read
	Unanswered    int            // statuses that are missing now
	Containers    int            // reported by the last pull
	Images        int            // reported by the last pull
	Runtime       string         // "cri-o 1.30.4"
	LastPull      time.Time      // end of the last pull that succeeded
	LastImageList time.Time
}

// counters guards Stats.
type counters struct {
	mu sync.Mutex
	s  Stats
}

func newCounters() *counters {
	return &counters{s: Stats{Calls: map[string]int{}, FailedCalls: map[string]int{}}}
}

func (c *counters) update(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.s)
}

func (c *counters) called(method string, err error) {
	c.update(func(s *Stats) {
		s.Calls[method]++
		if err != nil {
			s.FailedCalls[method]++
		}
	})
}

// Stats returns the collector's counters. The caller owns the result.
func (c *Collector) Stats() Stats {
	c.counters.mu.Lock()
	defer c.counters.mu.Unlock()
	out := c.counters.s
	out.Calls, out.FailedCalls = maps.Clone(out.Calls), maps.Clone(out.FailedCalls)
	return out
}
