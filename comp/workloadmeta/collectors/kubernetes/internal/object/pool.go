package object

// Pool keeps one copy of each string that many objects have. It forgets what has not been asked for
// in a while. It is for one goroutine at a time; a nil one keeps nothing.
type Pool struct {
	// When the young generation is full it becomes the old one, and what that was is dropped.
	young, old map[string]string
}

const (
	// maxShared is the length up to which strings are likely to be those of others as well: that of
	// label values.
	maxShared = 64
	// maxGeneration bounds what the pool keeps: 2 × 16,384 strings of 64 bytes are 2 MB.
	maxGeneration = 1 << 14
)

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{young: map[string]string{}} }

// String returns the bytes as a string.
func (p *Pool) String(data []byte) string {
	if p == nil || len(data) > maxShared {
		return string(data)
	}
	if s, ok := p.young[string(data)]; ok { // no copy is made to look it up
		return s
	}
	s, ok := p.old[string(data)]
	if !ok {
		s = string(data)
	}
	if len(p.young) >= maxGeneration {
		p.old, p.young = p.young, map[string]string{}
	}
	p.young[s] = s
	return s
}
