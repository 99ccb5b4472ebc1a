// Package host reports tags of the machine for some time after the start.
//
// The tags of a new host are usually added to its telemetry by whoever receives it, but
// only once they are known there. Until then they are sent along: for
// expected_tags_duration after the start the host entity carries them; then it is
// reported once more without any, and that is how it stays.
//
// # Promises
//
//   - The same tags come in the same order: those of the options, then each provider's.
//   - A provider that fails or hangs holds nobody up: a pull waits for it for
//     [Options.ProviderTimeout], and asks it again next time. After
//     [Options.MaxFailures] failures in a row it is left alone.
//   - An answer is kept: a provider that has answered is not asked again.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Provider knows some tags of the host, such as those a cloud gives to a machine.
type Provider interface {
	// Name appears in the log.
	Name() string
	// Tags returns complete tags ("key:value"). It must return when ctx ends. None and
	// no error means that there are none.
	Tags(ctx context.Context) ([]string, error)
}

// Options say which tags the host has, and for how long they are reported.
type Options struct {
	// Duration is how long after [New] the tags are reported. 0: never.
	Duration time.Duration `config:"/expected_tags_duration,datadog" doc:"How long after the start everything carries the tags of the machine, because a new machine's tags are not known elsewhere at once. 0: never."`
	// Tags, and then ExtraTags, are reported as they are, first and in this order. Empty ones are
	// left out.
	Tags      []string `config:"/tags"`
	ExtraTags []string `config:"/extra_tags"`
	// Providers are asked for more, which follow in the order of the providers.
	Providers []Provider
	// ProviderTimeout is how long a pull waits for the providers. Default: 2 s.
	ProviderTimeout time.Duration
	// MaxFailures is how often in a row a provider may fail before it is left alone.
	// Default: 10.
	MaxFailures int
	// Log is told of providers that fail. Default: nothing is logged.
	Log *slog.Logger
}

// Collector reports the host. It implements [workloadmeta.Puller].
type Collector struct {
	opts      Options
	ends      time.Time
	providers []*asked
}

var _ workloadmeta.Puller = (*Collector)(nil)

// New returns a collector; the duration begins now. A negative duration is an error.
func New(opts Options) (*Collector, error) {
	if opts.Duration < 0 {
		return nil, &collection.OptionError{Collector: "host", Field: "Duration",
			Err: fmt.Errorf("it is %s; it must not be negative", opts.Duration)}
	}
	if opts.ProviderTimeout <= 0 {
		opts.ProviderTimeout = 2 * time.Second
	}
	if opts.MaxFailures <= 0 {
		opts.MaxFailures = 10
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	c := &Collector{opts: opts, ends: time.Now().Add(opts.Duration)}
	for i, p := range opts.Providers {
		if p == nil {
			return nil, fmt.Errorf("host: provider %d is nil", i)
		}
		c.providers = append(c.providers, &asked{provider: p})
	}
	return c, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description { return description }

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if c.opts.Duration == 0 {
		return workloadmeta.Detection{State: workloadmeta.Disabled, Cause: workloadmeta.CauseOff,
			Reason: "host tags are not asked for", Hint: "set expected_tags_duration"}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected,
		Reason: fmt.Sprintf("host tags for %s after the start (expected_tags_duration)",
			c.opts.Duration)}
}

// Pull implements [workloadmeta.Puller]. It never fails: the tags that are known are
// better than none. The store takes note only of what has changed.
func (c *Collector) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	host := &workloadmeta.Host{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindHost,
		ID: workloadmeta.HostID}}
	if time.Now().Before(c.ends) {
		c.ask(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	// Looked at again: asking takes time, and may have been over only now.
	if time.Now().Before(c.ends) {
		host.HostTags = c.tags()
	}
	sink.Set(host)
	return nil
}

// tags returns what is known, without doubles.
func (c *Collector) tags() []string {
	var list []string
	add := func(tags []string) {
		for _, tag := range tags {
			if tag = strings.TrimSpace(tag); tag != "" && !slices.Contains(list, tag) {
				list = append(list, tag)
			}
		}
	}
	add(c.opts.Tags)
	add(c.opts.ExtraTags)
	for _, p := range c.providers {
		add(p.known())
	}
	return list
}

// ask asks the providers that have not answered yet, side by side, and waits for them,
// but not for long and not beyond the end of the tags.
func (c *Collector) ask(ctx context.Context) {
	ctx, cancel := context.WithDeadline(ctx,
		earlier(time.Now().Add(c.opts.ProviderTimeout), c.ends))
	defer cancel()
	answers := make(chan struct{}, len(c.providers))
	waiting := 0
	for _, p := range c.providers {
		if !p.begin(c.opts.MaxFailures) {
			continue
		}
		waiting++
		// Not waited for longer than ctx: a provider that does not heed the end of its
		// context goes on alone, and is not asked again before it has returned.
		go func() {
			tags, err := call(ctx, p.provider)
			if failures := p.end(tags, err); err != nil {
				c.log(p.provider.Name(), err, failures)
			}
			answers <- struct{}{}
		}()
	}
	for range waiting {
		select {
		case <-answers:
		case <-ctx.Done():
			return
		}
	}
}

// log logs the first failure of a provider and the one after which it is left alone.
func (c *Collector) log(provider string, err error, failures int) {
	attrs := []any{"provider", provider, "error", err}
	if p, ok := errors.AsType[*panicError](err); ok {
		attrs = append(attrs, "stack", string(p.stack))
	}
	switch {
	case failures >= c.opts.MaxFailures:
		c.opts.Log.Warn(
			"host tags are incomplete: a provider is left alone after failing too often",
			append(attrs, "failures", failures)...)
	case failures == 1:
		c.opts.Log.Warn("host tags are incomplete: a provider failed and is asked again", attrs...)
	default:
		c.opts.Log.Debug("a provider of host tags failed", append(attrs, "failures", failures)...)
	}
}

// asked is a provider and what is known from it.
type asked struct {
	provider Provider

	mu       sync.Mutex // guards the fields below
	busy     bool
	answered bool
	failures int // in a row
	tags     []string
}

// begin reports whether the provider is to be asked now; end must follow if it is.
func (a *asked) begin(maxFailures int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy || a.answered || a.failures >= maxFailures {
		return false
	}
	a.busy = true
	return true
}

func (a *asked) end(tags []string, err error) (failures int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
	if err != nil {
		a.failures++
		return a.failures
	}
	a.answered, a.tags = true, slices.Clone(tags)
	return 0
}

func (a *asked) known() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tags
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// call asks a provider; its panic is its failure.
func call(ctx context.Context, p Provider) (tags []string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return p.Tags(ctx)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
