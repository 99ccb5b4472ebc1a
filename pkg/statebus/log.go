package statebus

// Sizer is a value that knows about how many bytes it keeps alive.
type Sizer interface{ Size() int }

// changeLog holds the last changes, for subscribers that come back. It is used under the commit
// lock. A change is kept with the value it replaced, so that every filter can decide it as it
// would have then.
type changeLog[K comparable, V any] struct {
	entries []logEntry[K, V]
	bytes   int
	since   uint64 // all changes after this revision are here
}

type logEntry[K comparable, V any] struct {
	change[K, V]
	rev  uint64
	size int
}

func (l *changeLog[K, V]) add(changes []change[K, V], rev uint64, opts *Options) {
	for i := range changes {
		e := logEntry[K, V]{change: changes[i], rev: rev}
		if opts.LogBytes > 0 {
			if value, ok := any(e.value).(Sizer); ok {
				e.size = value.Size()
			}
		}
		l.bytes += e.size
		l.entries = append(l.entries, e)
	}
	drop := max(0, len(l.entries)-opts.LogChanges)
	for i := range l.entries {
		if i >= drop && (opts.LogBytes <= 0 || l.bytes <= opts.LogBytes) {
			break
		}
		drop = max(drop, i+1)
		l.bytes -= l.entries[i].size
		l.since = l.entries[i].rev
		l.entries[i] = logEntry[K, V]{}
	}
	l.entries = l.entries[drop:]
}

// resume gives a new subscription the changes after the revision it has seen, if they are all
// there. It runs under the commit lock, with s on the roster.
func (t *Table[K, V]) resume(s *Subscription[K, V]) {
	from := s.opts.Since
	if from == nil || t.opts.LogChanges <= 0 || from.Epoch != t.epoch ||
		from.Revision < t.log.since || from.Revision > t.rev.Load() {
		return
	}
	s.resumed, s.primed, s.snapshotting, s.peers = true, true, false, nil
	s.since = from.Revision
	s.settled.Store(true)
	var (
		one      [1]change[K, V]
		delivery [1]EventType
		missed   []Event[K, V]
	)
	for i := range t.log.entries {
		e := &t.log.entries[i]
		if e.rev <= from.Revision || s.over.Load() {
			continue
		}
		ev := Event[K, V]{Type: e.typ, Key: e.key, Value: e.value, Revision: e.rev}
		if !s.plain {
			one[0] = e.change
			if !s.decide(one[:], delivery[:]) {
				continue
			}
			if ev.Type = delivery[0]; ev.Type&left != 0 {
				ev.Value = e.old
			}
		}
		if s.opts.Tier == Second {
			// Its key's unset before may have been merged into a later one that was held back: the
			// subscriber may know the key, so that no tombstone of it may be dropped.
			ev.Type &^= unseen
		}
		missed = append(missed, ev)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Since = s.since
	if s.failure == nil {
		// They delay nobody in the second tier, as s came after them.
		s.pending = missed
	}
}
