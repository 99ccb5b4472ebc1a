package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/telemetry"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"go.uber.org/fx"
)

// app is an application with collectors, the store and the tagger, as somebody would embed them.
type app struct {
	t      *testing.T
	fx     *fx.App
	tags   local.Options
	store  workloadmeta.Component
	tagger *local.Tagger
	runs   *collection.Supervisor

	mu    sync.Mutex                                     // guards the fields below
	told  map[workloadmeta.EntityID][]workloadmeta.Event // by entity
	ended sync.WaitGroup
	stop  context.CancelFunc

	log, recording safeBuffer // everything that was logged and recorded
	metrics        *prometheus.Registry
}

// safeBuffer is a buffer that several goroutines may use.
type safeBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// logger is for collectors whose options want one: what goes there is searched for secrets.
func (a *app) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newApp(t *testing.T) *app {
	return &app{t: t, tags: local.DefaultOptions(),
		told: map[workloadmeta.EntityID][]workloadmeta.Event{}}
}

// start starts an application with these collectors' modules and options, and waits until it is
// synced. It stops at the test's end.
func (a *app) start(collectors ...fx.Option) *app {
	t := a.t
	t.Helper()
	a.fx = fx.New(
		fx.NopLogger, store.Module, collection.Module, local.Module, telemetry.Module,
		fx.Options(collectors...),
		fx.Supply(a.tags, a.logger()),
		fx.Populate(&a.store, &a.tagger, &a.runs, &a.metrics),
	)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.fx.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var follow context.Context
	follow, a.stop = context.WithCancel(context.Background())
	sub := a.store.Subscribe("e2e", nil)
	a.ended.Go(func() {
		defer sub.Close()
		for bundle := range sub.Bundles(follow) {
			a.mu.Lock()
			for _, e := range bundle.Events {
				a.told[e.Entity.GetID()] = append(a.told[e.Entity.GetID()], e)
			}
			a.mu.Unlock()
		}
	})
	out := recording.NewRecorder(a.store, nil, recording.NewWriter(&a.recording))
	a.ended.Go(func() {
		if err := out.Run(follow); err != nil {
			t.Errorf("record: %v", err)
		}
	})
	t.Cleanup(a.close)
	if err := a.store.WaitSynced(ctx); err != nil {
		t.Fatalf("not synced: %v; %+v", err, a.runs.Status())
	}
	return a
}

func (a *app) close() {
	if a.stop == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.fx.Stop(ctx); err != nil {
		a.t.Errorf("stop: %v", err)
	}
	a.stop()
	a.ended.Wait()
	a.stop = nil
}

func containerID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}

// toldOf returns everything that a subscriber was told of a container.
func (a *app) toldOf(id string) []workloadmeta.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.told[containerID(id)])
}

// history returns what a subscriber was told of a container: "set unset". It is told a moment after
// the store knows: see heard.
func (a *app) history(id string) string {
	var words []string
	for _, e := range a.toldOf(id) {
		words = append(words, e.Type.String())
	}
	return strings.Join(words, " ")
}

// last returns the last thing that was told of a container.
func (a *app) last(id string) (workloadmeta.EventType, *workloadmeta.Container) {
	events := a.toldOf(id)
	if len(events) == 0 {
		return 0, nil
	}
	e := events[len(events)-1]
	return e.Type, e.Entity.(*workloadmeta.Container)
}

// expect waits until the container is in the store and check is content with it, and returns it.
func (a *app) expect(id, what string,
	check func(c *workloadmeta.Container) bool) (found *workloadmeta.Container) {
	a.t.Helper()
	eventually(a.t, func() string {
		c, err := a.store.GetContainer(id)
		if err != nil {
			return fmt.Sprintf("%s: %v", what, err)
		}
		if !check(c) {
			text, err := json.Marshal(c)
			return fmt.Sprintf("%s: %s %v", what, text, err)
		}
		found = c
		return ""
	})
	return found
}

// heard waits until the subscriber has been told what the store knows of a container, a moment
// after the store.
func (a *app) heard(id string) {
	a.t.Helper()
	eventually(a.t, func() string {
		c, err := a.store.GetContainer(id)
		if err != nil {
			return err.Error()
		}
		if _, told := a.last(id); told == nil || !told.Equal(c) {
			return fmt.Sprintf("told %+v", told)
		}
		return ""
	})
}

// expectImage waits until an image has these tags; none means that there is no such image.
func (a *app) expectImage(id string, tags ...string) {
	a.t.Helper()
	eventually(a.t, func() string {
		i, err := a.store.GetContainerImage(id)
		if tags == nil && err != nil || err == nil && tags != nil &&
			slices.Equal(i.RepoTags, tags) {
			return ""
		}
		return fmt.Sprintf("image %s: %+v, %v; want tags %v", id, i, err, tags)
	})
}

// notEnded says what subscribers have been told of a container whose end they have not been told
// of, else "".
func (a *app) notEnded(id string) string {
	if event, _ := a.last(id); event == workloadmeta.EventTypeUnset {
		return ""
	}
	return fmt.Sprintf("%s was told: %s", id, a.history(id))
}

// expectEnd waits until subscribers have been told of the container's end, and checks the exit
// code; -1 means it is not known.
func (a *app) expectEnd(id string, code int64) {
	a.t.Helper()
	eventually(a.t, func() string {
		if problem := a.notEnded(id); problem != "" {
			return problem
		}
		_, c := a.last(id)
		if got := c.State.ExitCode; code < 0 && got != nil || code >= 0 &&
			(got == nil || *got != code) {
			return fmt.Sprintf("%s: state %+v, want exit code %d", id, c.State, code)
		}
		return ""
	})
}

// trouble waits until a collector has noticed that something is wrong, and its error has words in
// it.
func (a *app) trouble(collector, words string) {
	a.t.Helper()
	eventually(a.t, func() string {
		for _, s := range a.runs.Status() {
			if s.ID == collector && s.LastError != "" && strings.Contains(s.LastError, words) {
				return ""
			}
		}
		return fmt.Sprintf("status = %+v", a.runs.Status())
	})
}

// ids returns the containers in the store, sorted.
func (a *app) ids() []string {
	var ids []string
	for c := range a.store.Containers() {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

func (a *app) expectTags(id string, want ...string) {
	a.t.Helper()
	eventually(a.t, func() string {
		tags, err := a.tagger.Tag(tagger.Container(id), tagger.HighCardinality)
		for _, tag := range want {
			if !slices.Contains(tags, tag) {
				return fmt.Sprintf("tags %v (%v), want %s", tags, err, tag)
			}
		}
		return ""
	})
}

// expectNoSecret looks for a text in everything that can be asked for.
func (a *app) expectNoSecret(secret string) {
	a.t.Helper()
	a.mu.Lock()
	told := slices.Collect(maps.Values(a.told))
	a.mu.Unlock()
	var explanations []tagger.Explanation
	for _, e := range a.tagger.List() {
		explanations = append(explanations, a.tagger.Explain(e.ID))
	}
	for what, v := range map[string]any{
		"dump": a.store.Dump(), "tags": a.tagger.List(), "explanations": explanations,
		"events": told, "status": a.runs.Status(),
	} {
		text, err := json.Marshal(v)
		if err != nil {
			a.t.Fatalf("%s: %v", what, err)
		}
		if len(text) < 10 || strings.Contains(string(text), secret) {
			a.t.Errorf("%s: %d bytes, with the secret: %v", what, len(text),
				strings.Contains(string(text), secret))
		}
	}
	families, err := a.metrics.Gather()
	if err != nil {
		a.t.Fatal(err)
	}
	for what, text := range map[string]string{"log": a.log.String(),
		"recording": a.recording.String(), "metrics": fmt.Sprint(families)} {
		if len(text) < 10 || strings.Contains(text, secret) {
			a.t.Errorf("%s: %d bytes, with the secret: %v", what, len(text),
				strings.Contains(text, secret))
		}
	}
}

// churn has start make 200 containers, four at a time, that end at once with a code, and checks
// that none is lost. start labels each with its number and returns its ID.
func (a *app) churn(image string, start func(number int, code int64) (id string, err error)) {
	t := a.t
	t.Helper()
	const n, workers = 200, 4
	codes := map[string]int64{}
	var mu sync.Mutex // guards codes
	var work sync.WaitGroup
	begin := time.Now()
	for worker := range workers {
		work.Go(func() {
			for i := worker; i < n; i += workers {
				code := int64(i % 100)
				id, err := start(i, code)
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				codes[id] = code
				mu.Unlock()
			}
		})
	}
	work.Wait()
	t.Logf("%d containers in %v", len(codes), time.Since(begin))
	for id, code := range codes {
		a.expectEnd(id, code)
		if h := a.history(id); !strings.HasPrefix(h, "set") || strings.Count(h, "unset") != 1 {
			t.Errorf("%s was told: %s", id, h)
		}
		if _, c := a.last(id); c.Labels["number"] == "" || c.Name == "" || c.Image.Name != image {
			t.Errorf("last state of %s: %+v", id, c)
		}
	}
	if len(codes) != n {
		t.Errorf("%d containers, want %d", len(codes), n)
	}
	if got := a.ids(); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}
