package local_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// What cannot be understood is told by explain, and by the log once.
func TestProblemsAreTold(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, local.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, true)
	p := pod("p1", "c1")
	p.Annotations = map[string]string{"ad.datadoghq.com/tags": "not JSON"}
	c := container("c1", noOne)
	c.Labels = map[string]string{"com.datadoghq.ad.tags": "team:core"}
	c.EnvVars = map[string]string{"DD_ENV": "prod",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=stage"}
	for range 3 {
		c.RestartCount++ // the same again
		again := *c
		w.notify(sets(runtime, &again), sets(kubelet, p))
	}
	var got []string
	for _, problem := range w.tagger.Explain(c1).Problems {
		got = append(got, strings.TrimSpace(problem.Entity+" "+problem.Field+": "+problem.Problem))
	}
	for i, want := range []string{
		`container/c1 labels["com.datadoghq.ad.tags"]: want a JSON array of strings`,
		`kubernetes_pod/p1 annotations["ad.datadoghq.com/tags"]: want a JSON object`,
		"env: 2 different values: prod (container variable DD_ENV), stage (container variable OTEL",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("problem %d of %q, want %s", i, got, want)
		}
	}
	if err := w.tagger.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"com.datadoghq.ad.tags", "ad.datadoghq.com/tags"} {
		if n := strings.Count(log.String(), field); n != 1 {
			t.Errorf("the log tells %d times of %s:\n%s", n, field, &log)
		}
	}
}

// The log is told of so many problems and no more.
func TestTheLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, local.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, true)
	var events []wm.CollectorEvent
	for i := range 1200 {
		c := container(fmt.Sprint("c", i), noOne)
		c.Labels = map[string]string{"com.datadoghq.ad.tags": "no JSON"}
		events = append(events, sets(runtime, c))
	}
	w.notify(events...)
	if err := w.tagger.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "com.datadoghq.ad.tags"); n != 1000 {
		t.Errorf("the log tells of %d problems, want 1000", n)
	}
	if strings.Contains(log.String(), "lost") {
		t.Error("the log tells of lost tags")
	}
}

// Whoever subscribes after New hears of nothing that has no tags yet, although the tagger
// starts later.
func TestFirstTierFromNewOn(t *testing.T) {
	w := newWorld(t, local.Options{}, false)
	sub := w.store.Subscribe("second", nil)
	defer sub.Close()
	w.storeOnly(sets(runtime, container("c1", noOne)))
	if err := w.tagger.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for b := range sub.Bundles(t.Context()) {
		for _, ev := range b.Events {
			if tags, err := w.tagger.Tags(tagger.Container(ev.Entity.GetID().ID),
				tagger.HighCardinality); err != nil || tags.Len() == 0 {
				t.Errorf("%s has no tags yet: %v", ev.Entity.GetID(), err)
			}
		}
		if len(b.Events) > 0 {
			break
		}
	}
}

// What costs time in Explain grows with the tags, not with their square.
func TestExplainOfManyTags(t *testing.T) {
	cost := func(n int) time.Duration {
		opts := local.DefaultOptions()
		opts.Extract.ContainerLabelsAsTags = map[string]string{"*": "c_%%label%%"}
		opts.Extract.KubernetesPodLabelsAsTags = map[string]string{"*": "p_%%label%%"}
		w := newWorld(t, opts, true)
		labels := map[string]string{}
		for i := range n {
			labels[fmt.Sprintf("l%06d", i)] = "v"
		}
		c, p := container("c1", noOne), pod("p1", "c1")
		c.Labels, p.Labels = labels, labels
		w.notify(sets(runtime, c), sets(kubelet, p))
		began := time.Now()
		if x := w.tagger.Explain(c1); len(x.Tags) < 2*n {
			t.Errorf("%d tags of %d labels are explained", len(x.Tags), n)
		}
		return time.Since(began)
	}
	cost(100)
	small, large := time.Hour, time.Hour
	for range 20 { // others use the machine, too
		small, large = min(small, cost(500)), min(large, cost(8000))
		if large <= 16*10*small {
			return
		}
	}
	t.Errorf("%s for 500 labels, %s for 8000", small, large)
}
