package runtimesync

import (
	"context"
	"errors"
	"fmt"
)

// work does what a job asks for. A panic is the job's error.
func (s *session) work(ctx context.Context, j job) (r result) {
	defer func() {
		if p := recover(); p != nil {
			s.f.counters.update(func(st *Stats) { st.DecodePanics++ })
			r = result{job: j, err: fmt.Errorf("panic: %v", p), slow: true}
		}
	}()
	r.job = j
	switch {
	case j.task == taskPing:
		ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
		defer cancel()
		r.err = s.backend.Ping(ctx)
		return r
	case j.task == taskList:
		r.lists, r.err = s.backend.List(ctx)
		return r
	case j.key.image:
		r.image, r.err = s.backend.InspectImage(ctx, j.key.id, j.full)
	default:
		r.container, r.err = s.backend.Inspect(ctx, j.key.id)
	}
	if errors.Is(r.err, context.DeadlineExceeded) {
		// If the runtime answers a ping, it is this object that hangs.
		ctx, cancel := context.WithTimeout(ctx, pingWait)
		defer cancel()
		r.slow = s.backend.Ping(ctx) == nil
	}
	return r
}
