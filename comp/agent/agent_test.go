package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/telemetry"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// boxes is a collector of containers that are made up.
type boxes struct {
	deps   collection.Deps
	absent bool
	idle   bool
}

func (*boxes) Describe() workloadmeta.Description {
	return workloadmeta.Description{ID: "boxes", Source: workloadmeta.SourceRuntime,
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}}
}

func (b *boxes) Detect(context.Context) workloadmeta.Detection {
	if b.idle {
		return workloadmeta.Detection{State: workloadmeta.Disabled, Cause: workloadmeta.CauseOff,
			Reason: "no boxes are asked for"}
	}
	if b.absent {
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseAbsent,
			Reason: "no boxes"}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

// Pull reports a container with whatever of its environment is kept, and one that pauses.
func (b *boxes) Pull(_ context.Context, sink workloadmeta.Sink) error {
	web := &workloadmeta.Container{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindContainer, ID: "c1"}, EnvVars: map[string]string{}}
	web.Name = "web"
	for name, value := range map[string]string{"DD_SERVICE": "web", "TEAM": "shop",
		"PASSWORD": "x"} {
		if b.deps.Env == nil || b.deps.Env.Allowed(name) {
			web.EnvVars[name] = value
		}
	}
	pause := &workloadmeta.Container{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindContainer, ID: "c2"}}
	pause.Image.RawName, pause.Image.Name = "registry.k8s.io/pause:3.9", "registry.k8s.io/pause"
	for _, c := range []*workloadmeta.Container{web, pause} {
		sink.Apply([]workloadmeta.CollectorEvent{{Type: workloadmeta.EventTypeSet,
			Source: workloadmeta.SourceRuntime, Entity: c}})
	}
	return nil
}

type boxOptions struct {
	Absent bool `config:"absent,address" doc:"Whether there are no boxes." default:"false"`
	Idle   bool `config:"idle" doc:"Whether nothing is asked for." default:"false"`
}

func catalogOfBoxes() []collection.AnySpec {
	return []collection.AnySpec{collection.Spec[boxOptions]{
		Description: (*boxes)(nil).Describe(), About: "boxes",
		Make: func(o boxOptions, deps collection.Deps) ([]workloadmeta.Collector, error) {
			return []workloadmeta.Collector{&boxes{deps, o.Absent, o.Idle}}, nil
		},
	}}
}

func load(t *testing.T, flags ...config.Flag) *config.Loaded {
	t.Helper()
	conf, err := config.NewSchema(catalogOfBoxes()).Load(config.Source{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func start(t *testing.T, o agent.Options) *agent.Agent {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	if o.Environ == nil {
		o.Environ = []string{}
	}
	a, err := agent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// With nothing but a catalog, a program has what the command line has: the collectors, the
// variables that tags are made of, the built-in rules and all answers.
func TestDefaults(t *testing.T) {
	a := start(t, agent.Options{Catalog: catalogOfBoxes(), Version: "1.2"})
	answers, err := a.WaitFirst(t.Context())
	if err != nil || len(answers) != 1 || answers[0].Result != collection.Listed ||
		answers[0].Notable {
		t.Fatalf("WaitFirst() = %+v, %v", answers, err)
	}
	if tags, err := a.Tagger().Tag(tagger.Container("c1"), tagger.LowCardinality); err != nil ||
		!slices.Contains(tags, "service:web") {
		t.Errorf("tags right after the first answers: %q, %v", tags, err)
	}
	list, err := a.Inspect().List(t.Context(), inspect.ListRequest{
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}})
	if err != nil || len(list.Entities) != 1 || list.LeftOut != 1 {
		t.Errorf("the pause container is not left out by the built-in rules: %+v, %v", list, err)
	}
	s, err := a.Inspect().Status(t.Context())
	if err != nil || s.Version != "1.2" || s.Collectors[0].ID != "boxes" || !s.Store.Synced {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// A variable that tags are made of is kept, by the collectors and the tagger alike; others are not.
func TestOneFilterForTheEnvironment(t *testing.T) {
	a := start(t, agent.Options{Config: load(t, config.Flag{Flag: "--set",
		Option: "container_env_as_tags", Value: `{"TEAM":"team"}`})})
	if _, err := a.WaitFirst(t.Context()); err != nil {
		t.Fatal(err)
	}
	tags, err := a.Tagger().Tag(tagger.Container("c1"), tagger.LowCardinality)
	if err != nil || !slices.Contains(tags, "team:shop") {
		t.Errorf("tags %q, %v", tags, err)
	}
	c, err := a.Store().GetContainer("c1")
	if err != nil || c.EnvVars["PASSWORD"] != "" {
		t.Errorf("%v, %v: a variable that nobody asked for is kept", c, err)
	}
}

func TestWhatWasAskedForIsNotThere(t *testing.T) {
	a := start(t, agent.Options{Config: load(t, config.Flag{Flag: "--set", Option: "boxes.absent",
		Value: "true"})})
	answers, err := a.WaitFirst(t.Context())
	if err != nil || answers[0].Result != collection.NotDetected ||
		answers[0].Asked != "boxes.absent is set by --set" {
		t.Errorf("%+v, %v", answers, err)
	}
}

// An address, which may be another collector's as well, is no wish of who has nothing to do.
func TestWhoHasNothingToDoIsNotMissed(t *testing.T) {
	for enabled, want := range map[string]string{"auto": "",
		"on": "boxes.absent is set by --set"} {
		a := start(t, agent.Options{Config: load(t,
			config.Flag{Flag: "--set", Option: "boxes.absent", Value: "true"},
			config.Flag{Flag: "--set", Option: "boxes.idle", Value: "true"},
			config.Flag{Flag: "--set", Option: "collectors.boxes", Value: enabled})})
		answers, err := a.WaitFirst(t.Context())
		if err != nil || answers[0].Result != collection.NotDetected ||
			answers[0].Asked != want || answers[0].Notable {
			t.Errorf("%s: %+v, %v", enabled, answers, err)
		}
	}
}

func TestReload(t *testing.T) {
	a := start(t, agent.Options{Catalog: catalogOfBoxes()})
	if _, err := a.WaitFirst(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(load(t, config.Flag{Flag: "--set", Option: "rules",
		Value: `[{"drop":"service"}]`})); err != nil {
		t.Fatal(err)
	}
	x, err := a.Inspect().Explain(t.Context(),
		inspect.ExplainRequest{Name: inspect.Name{Text: "web"}})
	if err != nil || len(x.Dropped) != 1 || x.Dropped[0].Tag != "service:web" {
		t.Errorf("after the reload: %+v, %v", x.Explanation, err)
	}
}

func TestMadeOfNonsense(t *testing.T) {
	conf := load(t)
	conf.DogstatsdTagCardinality = 99
	if _, err := agent.New(agent.Options{Config: conf}); !errors.Is(err, tagger.ErrCardinality) {
		t.Errorf("a cardinality that there is not: %v", err)
	}
	if _, err := agent.New(agent.Options{Catalog: catalogOfBoxes(),
		Collectors: []workloadmeta.Collector{&boxes{}}}); err == nil ||
		!strings.Contains(err.Error(), "boxes") {
		t.Errorf("two collectors of one ID: %v", err)
	}
}

// The module gives an application the agent and all of its parts, with their metrics.
func TestModule(t *testing.T) {
	var (
		s        *store.Store
		tags     tagger.Component
		asked    inspect.Inspector
		gatherer prometheus.Gatherer
	)
	app := fx.New(fx.NopLogger, agent.Module, telemetry.Module,
		fx.Supply(agent.Options{Catalog: catalogOfBoxes(), Log: slog.New(slog.DiscardHandler)}),
		fx.Populate(&s, &tags, &asked, &gatherer))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.WaitSynced(ctx); err != nil {
		t.Error(err)
	}
	if _, known, err := tags.TagWait(ctx, tagger.Container("c1"), tagger.LowCardinality,
		tagger.Complete); err != nil || known != tagger.Complete {
		t.Errorf("TagWait() = %s, %v", known, err)
	}
	if e, err := asked.Get(ctx, inspect.GetRequest{Name: inspect.Name{Text: "web"}}); err != nil ||
		!slices.Contains(e.Tags, "service:web") {
		t.Errorf("Get() = %v, %v", e.Tags, err)
	}
	families, err := gatherer.Gather()
	if err != nil || len(families) < 20 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
	if err := app.Stop(context.Background()); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
