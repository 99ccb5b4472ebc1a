// Package examples_test shows how other programs use rollcall. The documentation for
// embedders quotes it.
package examples_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/taggertest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/replay"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// LogTailer is some part of somebody else's agent. It wants to know of containers and
// of their tags.
type LogTailer struct {
	store  workloadmeta.Component
	tagger tagger.Component
	found  chan string
}

func NewLogTailer(store workloadmeta.Component, tagger tagger.Component) *LogTailer {
	return &LogTailer{store, tagger, make(chan string, 100)}
}

// Run follows the containers until ctx ends.
func (l *LogTailer) Run(ctx context.Context) {
	sub := l.store.Subscribe("log-tailer",
		workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		for _, ev := range bundle.Events {
			if ev.Type != workloadmeta.EventTypeSet {
				continue // the container is gone; its tags stay for five minutes
			}
			c := ev.Entity.(*workloadmeta.Container)
			// Whoever hears of a container can ask for its tags.
			tags, err := l.tagger.Tag(tagger.Container(c.ID), tagger.LowCardinality)
			if err != nil {
				continue
			}
			l.found <- c.Name + ": " + strings.Join(tags, "\n")
		}
	}
}

// An application that is wired with fx names the modules it wants. Only what it names
// is linked.
func Example_fx() {
	var tailer *LogTailer
	app := fx.New(
		fx.NopLogger,
		store.Module, collection.Module, // the store and the collectors' supervisor
		replay.Module, // the collectors you want; here a recording instead of docker.Module
		local.Module,  // the tagger

		fx.Supply(replay.Options{Path: "testdata/shop.jsonl"}),
		fx.Provide(func() local.Options {
			opts := local.DefaultOptions()
			opts.Extract.ContainerLabelsAsTags = map[string]string{"team": "team"}
			return opts
		}),
		fx.Supply(slog.New(slog.NewTextHandler(io.Discard, nil))),

		fx.Provide(NewLogTailer),
		fx.Invoke(func(l *LogTailer, life fx.Lifecycle) {
			tailer = l
			ctx, stop := context.WithCancel(context.Background())
			stopped := make(chan struct{})
			life.Append(fx.StartStopHook(
				func() {
					go func() {
						defer close(stopped)
						l.Run(ctx)
					}()
				},
				func() {
					stop()
					<-stopped
				},
			))
		}),
	)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-tailer.found)
	if err := app.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// cart: docker_image:acme/cart:2.4
	// env:prod
	// image_id:sha256:0a1b
	// image_name:acme/cart
	// image_tag:2.4
	// service:cart
	// short_image:cart
	// team:checkout
}

// The same without fx: constructors, Start and Stop.
func Example_plain() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))

	entities := store.New(store.Options{})
	defer entities.Close()

	recording, err := replay.New(replay.Options{Path: "testdata/shop.jsonl"})
	if err != nil {
		fmt.Println(err)
		return
	}
	collectors, err := collection.New(collection.Options{
		Store: entities, Collectors: []workloadmeta.Collector{recording}, Log: quiet,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tags, err := local.New(entities, local.Options{OnMiss: collectors, Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, start := range []func(context.Context) error{tags.Start, collectors.Start} {
		if err := start(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	defer func() { _ = tags.Stop(ctx) }()
	defer func() { _ = collectors.Stop(ctx) }()

	// What is running here?
	if err := entities.WaitSynced(ctx); err != nil {
		fmt.Println(err)
		return
	}
	c, err := entities.ContainerForPID(4242)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Name, c.Image.RawName)

	// What tags must its telemetry carry? TagWait bridges a container's first moments.
	id := tagger.Container(c.ID)
	set, completeness, err := tags.TagWait(ctx, id, tagger.LowCardinality, tagger.Complete)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(completeness, set.Len())

	// Hold a handle where the same entity is asked for again and again.
	handle := tags.Handle(id)
	service, _ := handle.Tags(tagger.LowCardinality).Get("service")
	fmt.Println(service)
	// Output:
	// cart acme/cart:2.4
	// complete 7
	// cart
}

// A whole agent in one piece: the collectors of a catalog, the built-in rules, the tagger and all
// answers, as the command line has them.
func Example_agent() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	recording, err := replay.New(replay.Options{Path: "testdata/shop.jsonl"})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := agent.New(agent.Options{
		Catalog:    nil, // catalog.Collectors(), or those of them that you want
		Collectors: []workloadmeta.Collector{recording},
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Stop(ctx) }()
	if err := a.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := a.WaitFirst(ctx); err != nil {
		fmt.Println(err)
		return
	}
	cart, err := a.Inspect().Get(ctx, inspect.GetRequest{Name: inspect.Name{Text: "cart"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cart.Workload.GetID().Kind, cart.Sources, cart.Tags[len(cart.Tags)-2:])
	// Output:
	// container [runtime] [service:cart short_image:cart]
}

// The same in an application that is wired with fx.
func Example_agentFx() {
	var (
		whole *agent.Agent
		asked inspect.Inspector
	)
	app := fx.New(
		fx.NopLogger,
		agent.Module,  // store, supervisor, tagger and answers
		replay.Module, // a collector beside those of the catalog
		fx.Supply(replay.Options{Path: "testdata/shop.jsonl"}),
		fx.Supply(agent.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}),
		fx.Populate(&whole, &asked),
	)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := whole.WaitFirst(ctx); err != nil {
		fmt.Println(err)
		return
	}
	x, err := asked.Explain(ctx, inspect.ExplainRequest{Name: inspect.Name{Text: "cart"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tag := range x.Tags {
		if tag.Tag == "service:cart" {
			fmt.Println(tag.Tag, "is from", tag.Rule)
		}
	}
	if err := app.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// service:cart is from container label com.datadoghq.tags.service
}

// A program may read the configuration that the command line reads, of the collectors that it
// links.
func Example_configuration() {
	quiet := slog.New(slog.DiscardHandler)
	schema := config.NewSchema([]collection.AnySpec{docker.Spec, replay.Spec})
	conf, err := schema.Load(config.Source{Env: []string{
		"ROLLCALL_COLLECTORS_DOCKER=off", "ROLLCALL_REPLAY_PATH=testdata/shop.jsonl",
		`DD_CONTAINER_LABELS_AS_TAGS={"team":"team"}`}})
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := conf.NewCollectors(collection.Deps{Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	entities := store.New(store.Options{})
	defer entities.Close()
	supervisor, err := collection.New(collection.Options{Store: entities,
		Collectors: made.List, Enabled: made.Enabled, Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range supervisor.Status() {
		fmt.Println(s.ID, made.Enabled[s.ID])
	}
	fmt.Println(made.Asked["replay"])
	fmt.Println(conf.TagOptions(nil).ContainerLabelsAsTags, "from",
		conf.From["container_labels_as_tags"])
	// Output:
	// docker off
	// replay auto
	// replay.path is set by ROLLCALL_REPLAY_PATH
	// map[team:team] from DD_CONTAINER_LABELS_AS_TAGS
}

// The collectors of a machine with Docker. It is compiled, but not run: what it would
// print depends on the machine.
func Example_machine() {
	fx.New(
		store.Module, collection.Module,
		docker.Module, process.Module, host.Module,
		local.Module,
		fx.Invoke(func(entities workloadmeta.Component, t tagger.Component) {
			containers := entities.Subscribe("example",
				workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
			go func() { // ends with the store
				for bundle := range containers.Bundles(context.Background()) {
					for _, ev := range bundle.Events {
						fmt.Println(ev.Type)
						fmt.Println(t.Tag(tagger.Container(ev.Entity.GetID().ID),
							tagger.HighCardinality))
					}
				}
			}()
		}),
	).Run()
}

// TagsOf is a function that takes a tagger, and can be tested with one of its own.
func TagsOf(t tagger.Component, containerID string) []string {
	tags, _ := t.Tag(tagger.Container(containerID), tagger.HighCardinality)
	return tags
}

// A test supplies the tagger it needs.
func TestTagsOf(t *testing.T) {
	tags := taggertest.New(t, taggertest.Map{"container_id://c1": {"service:cart"}})
	if got := TagsOf(tags, "c1"); !slices.Equal(got, []string{"service:cart"}) {
		t.Errorf("TagsOf() = %q", got)
	}
}

// fakeTagger knows one container. It embeds the tagger to which nothing is known.
type fakeTagger struct{ tagger.Nop }

func (fakeTagger) Tag(id tagger.EntityID, _ tagger.TagCardinality) ([]string, error) {
	if id == tagger.Container("c1") {
		return []string{"service:cart"}, nil
	}
	return nil, tagger.ErrUnknown
}

// A tagger of one's own works as well. Programs with one tagger may make it the default.
func Example_tests() {
	fmt.Println(TagsOf(fakeTagger{}, "c1"))

	before := tagger.Default()
	tagger.SetDefault(fakeTagger{})
	defer tagger.SetDefault(before)
	fmt.Println(TagsOf(tagger.Default(), "c1"))
	// Output:
	// [service:cart]
	// [service:cart]
}
