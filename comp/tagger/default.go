package tagger

import "sync/atomic"

// The one exception to "no package-level mutable state": a default for programs that
// have one tagger and do not want to pass it around. Nothing in rollcall uses it.
var defaultTagger atomic.Pointer[Component]

// Default returns the tagger that was given to [SetDefault]; before that, one to which
// every entity is unknown.
func Default() Component {
	if c := defaultTagger.Load(); c != nil {
		return *c
	}
	return Nop{}
}

// SetDefault makes c the tagger that [Default] returns.
func SetDefault(c Component) { defaultTagger.Store(&c) }
