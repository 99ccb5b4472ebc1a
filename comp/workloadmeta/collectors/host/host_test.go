package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type provider struct {
	name string
	tags func(ctx context.Context) ([]string, error)
}

func (p *provider) Name() string                               { return p.name }
func (p *provider) Tags(ctx context.Context) ([]string, error) { return p.tags(ctx) }

// watch runs the collector for a while under a real supervisor and store and returns
// what a subscriber saw, as "0s [tags]", rounded to seconds.
func watch(t *testing.T, opts host.Options, d time.Duration) []string {
	t.Helper()
	began := time.Now()
	c, err := host.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(store.Options{})
	defer s.Close()
	super, err := collection.New(
		collection.Options{Store: s, Collectors: []workloadmeta.Collector{c}})
	if err != nil {
		t.Fatal(err)
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var seen []string
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	sub := s.Subscribe("test", nil)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		for _, ev := range bundle.Events {
			if ev.Type == workloadmeta.EventTypeUnset {
				t.Errorf("unset of %s", ev.Entity.GetID())
			}
			seen = append(seen,
				fmt.Sprint(time.Since(began).Round(time.Second), " ",
					ev.Entity.(*workloadmeta.Host).HostTags))
		}
	}
	if err := super.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	return seen
}

func TestTagsGoAfterTheDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := watch(t,
			host.Options{Duration: time.Minute,
				Tags: []string{"env:prod", " team:a ", "", "env:prod"}}, time.Hour)
		if len(seen) != 2 || seen[0] != "0s [env:prod team:a]" ||
			!strings.HasSuffix(seen[1], " []") {
			t.Fatalf("seen %q, want the tags once and then none, once", seen)
		}
		at, err := time.ParseDuration(strings.Fields(seen[1])[0])
		if err != nil || at < time.Minute || at > 66*time.Second {
			t.Errorf("the tags went after %s, want a minute and at most a pull", at)
		}
	})
}

func TestProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, slow, broken atomic.Int64
		var log strings.Builder
		release := make(chan struct{})
		seen := watch(t, host.Options{
			Duration: 10 * time.Minute, Tags: []string{"env:prod"},
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Providers: []host.Provider{
				// does not heed its context
				&provider{"stubborn", func(context.Context) ([]string, error) {
					if slow.Add(1) > 1 {
						t.Error("asked again while it has not returned")
					}
					<-release
					return []string{"late:yes"}, nil
				}},
				&provider{"recovers", func(context.Context) ([]string, error) {
					switch asked.Add(1) {
					case 1:
						return nil, errors.New("not yet")
					case 2:
						panic("oh")
					}
					return []string{"zone:b", "env:prod"}, nil
				}},
				&provider{"broken", func(context.Context) ([]string, error) {
					if broken.Add(1) == 10 {
						close(release)
					}
					return nil, errors.New("no route to host")
				}},
			}}, 9*time.Minute)
		if len(seen) != 3 || seen[0] != "2s [env:prod]" ||
			!strings.HasSuffix(seen[1], " [env:prod zone:b]") ||
			!strings.HasSuffix(seen[2], " [env:prod late:yes zone:b]") {
			t.Errorf("seen %q", seen)
		}
		if asked.Load() != 3 || broken.Load() != 10 {
			t.Errorf(
				"one was asked %d times until it answered, want 3; the broken one %d times, want 10", asked.Load(), broken.Load())
		}
		if n := strings.Count(log.String(), "provider=broken"); n != 2 {
			t.Errorf("the broken one was logged %d times, want at first and at last:\n%s", n,
				log.String())
		}
	})
}

func TestNoDurationIsOff(t *testing.T) {
	c, err := host.New(host.Options{Tags: []string{"env:prod"}})
	if err != nil {
		t.Fatal(err)
	}
	d := c.Detect(t.Context())
	if d.State != workloadmeta.Disabled || !strings.Contains(d.Hint, "expected_tags_duration") {
		t.Errorf("Detect() = %+v, want disabled and which option to set", d)
	}
	if _, err := host.New(host.Options{Duration: -1}); err == nil ||
		!strings.Contains(err.Error(), "option Duration: it is -1ns") {
		t.Errorf("a negative duration: %v", err)
	}
	if _, err := host.New(host.Options{Providers: []host.Provider{nil}}); err == nil {
		t.Error("a nil provider is accepted")
	}
}

func TestModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := func(name string) any {
			return fx.Annotate(func() *provider {
				return &provider{name, func(context.Context) ([]string, error) {
					return []string{"from:" + name}, nil
				}}
			}, fx.As(new(host.Provider)), fx.ResultTags(`group:"host_tag_providers"`))
		}
		var c workloadmeta.Component
		app := fx.New(fx.NopLogger, store.Module, collection.Module, host.Module,
			fx.Supply(host.Options{Duration: time.Minute}), fx.Provide(zone("b"),
				zone("a")), fx.Populate(&c))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		e, err := c.Get(workloadmeta.EntityID{Kind: workloadmeta.KindHost, ID: workloadmeta.HostID})
		if err != nil || fmt.Sprint(e.(*workloadmeta.Host).HostTags) != "[from:a from:b]" {
			t.Errorf("%+v, %v", e, err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
