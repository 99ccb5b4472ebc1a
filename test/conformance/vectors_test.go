// Package conformance runs the tag vectors: what rollcall's tags have to be, end to
// end, from what the collectors report to what a query answers.
//
// The vectors in testdata/tags record the behaviour that dashboards depend on. Where
// rollcall knowingly differs, the vector is edited and its "deviation" says why.
// If ROLLCALL_VECTORS names a folder, the vectors in it run, too.
package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

const schema = "rollcall-tag-vectors/1"

type vectorFile struct {
	Schema  string   `json:"schema"`
	Group   string   `json:"group"`
	Vectors []vector `json:"vectors"`
}

type vector struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Deviation string         `json:"deviation"`
	Features  []string       `json:"features"`
	Config    map[string]any `json:"config"`
	Events    []event        `json:"events"`
	Expect    *expectation   `json:"expect"`
	Steps     []step         `json:"steps"`
}

type step struct {
	Event   *event       `json:"event"`
	TagInfo *tagInfo     `json:"tag_info"`
	Advance int64        `json:"advance_s"`
	Prune   bool         `json:"prune"`
	Expect  *expectation `json:"expect"`
}

type event struct {
	Op     workloadmeta.EventType `json:"op"`
	Source workloadmeta.Source    `json:"source"`
	Entity json.RawMessage        `json:"entity"`
}

type tagInfo struct {
	Source       string          `json:"source"`
	Entity       tagger.EntityID `json:"entity"`
	Low          []string        `json:"low"`
	Orchestrator []string        `json:"orchestrator"`
	High         []string        `json:"high"`
	Standard     []string        `json:"standard"`
	Delete       bool            `json:"delete"`
	ExpiresIn    int64           `json:"expires_in_s"`
}

type expectation struct {
	Entities map[tagger.EntityID]expectedTags        `json:"entities"`
	Absent   []tagger.EntityID                       `json:"absent"`
	BySource map[tagger.EntityID]map[string][]string `json:"by_source"`
}

type expectedTags struct {
	Low          []string `json:"low"`
	Orchestrator []string `json:"orchestrator"`
	High         []string `json:"high"`
	Standard     []string `json:"standard"`
	Complete     *bool    `json:"complete"`
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/tags/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in testdata/tags (%v)", err)
	}
	deviations := map[string]string{}
	for _, file := range files {
		for _, v := range readVectors(t, file) {
			if v.Deviation != "" {
				deviations[v.ID] = v.Deviation
			}
			t.Run(v.ID, func(t *testing.T) { run(t, v, t.Errorf) })
		}
	}
	folder := os.Getenv("ROLLCALL_VECTORS")
	if folder == "" {
		return
	}
	files, err = filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in ROLLCALL_VECTORS=%s (%v)", folder, err)
	}
	for _, file := range files {
		for _, v := range readVectors(t, file) {
			t.Run(filepath.Base(file)+"/"+v.ID, func(t *testing.T) {
				why, known := deviations[v.ID]
				if !known || v.Deviation != "" {
					run(t, v, t.Errorf)
					return
				}
				failed := false
				run(t, v, func(string, ...any) { failed = true })
				if failed {
					t.Skipf("rollcall differs knowingly: %s", why)
				}
			})
		}
	}
}

func readVectors(t *testing.T, file string) []vector {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var parsed vectorFile
	if err := json.Unmarshal(data, &parsed); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if parsed.Schema != schema {
		t.Fatalf("%s: schema %q, want %q", file, parsed.Schema, schema)
	}
	return parsed.Vectors
}

// The result does not depend on the order of reports that are independent of each other:
// those of other entities, or of other sources.
func TestVectorsInAnyOrder(t *testing.T) {
	files, _ := filepath.Glob("testdata/tags/*.json")
	moved := 0
	for _, file := range files {
		for _, v := range readVectors(t, file) {
			for seed := range uint64(6) {
				shuffled := shuffle(v.steps(), rand.New(rand.NewPCG(seed, 0)))
				if reflect.DeepEqual(shuffled, v.steps()) {
					continue
				}
				moved++
				other := v
				other.Steps, other.Events, other.Expect = shuffled, nil, nil
				t.Run(fmt.Sprintf("%s/%d", v.ID, seed), func(t *testing.T) {
					run(t, other, t.Errorf)
				})
			}
		}
	}
	if moved < 50 {
		t.Errorf("only %d orders that differ", moved)
	}
}

// shuffle puts the reports between other steps into another order. What one source says of
// one entity keeps its order.
func shuffle(steps []step, r *rand.Rand) []step {
	var out, independent []step
	flush := func() {
		queues := map[string][]step{}
		var turns []string
		for _, s := range independent {
			queues[s.about()] = append(queues[s.about()], s)
			turns = append(turns, s.about())
		}
		r.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for _, about := range turns {
			out, queues[about] = append(out, queues[about][0]), queues[about][1:]
		}
		independent = nil
	}
	for _, s := range steps {
		if s.about() != "" {
			independent = append(independent, s)
			continue
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out
}

// about names the source and the entity of a report. It is empty for other steps and for
// ends: which tags stay for the grace time depends on what was there before.
func (s step) about() string {
	switch {
	case s.Event != nil && s.Event.Op == workloadmeta.EventTypeSet:
		var entity struct{ Kind, ID string }
		_ = json.Unmarshal(s.Event.Entity, &entity) // one without kind and ID fails in run
		return string(s.Event.Source) + " " + entity.Kind + " " + entity.ID
	case s.TagInfo != nil && !s.TagInfo.Delete:
		return s.TagInfo.Source + " " + string(s.TagInfo.Entity)
	}
	return ""
}

// steps returns all that a vector does.
func (v vector) steps() []step {
	steps := slices.Clone(v.Steps)
	for _, ev := range v.Events {
		steps = append(steps, step{Event: &ev})
	}
	if v.Expect != nil {
		steps = append(steps, step{Expect: v.Expect})
	}
	return steps
}

// run carries a vector out on a real store and tagger.
func run(t *testing.T, v vector, fail func(format string, args ...any)) {
	steps := v.steps()
	if len(steps) == 0 {
		t.Fatal("the vector does nothing")
	}

	entities := store.New(
		store.Options{OnMutation: func(id workloadmeta.EntityID, source workloadmeta.Source) {
			fail("%s of %s was written to after it had been handed over", id, source)
		}})
	defer entities.Close()
	for kind, sources := range expectedSources(v.Features) {
		entities.Expect(kind, sources)
	}
	now := time.Unix(1_800_000_000, 0)
	tags, err := local.New(entities, local.Options{
		Extract: extractOptions(t, v),
		TagStore: tagstore.Options{Now: func() time.Time { return now },
			Elapsed: func() time.Duration { return time.Duration(now.UnixNano()) }},
		PruneEvery:      time.Hour,
		Log:             slog.New(slog.DiscardHandler),
		SelfContainerID: "none",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tags.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tags.Stop(context.Background()) }()

	for i, s := range steps {
		switch {
		case s.Event != nil:
			e, unknown, err := workloadmeta.UnmarshalEntity(s.Event.Entity)
			if err != nil || len(unknown) > 0 {
				t.Fatalf("step %d: %v (unknown fields: %q)", i, err, unknown)
			}
			if err := entities.Notify(
				[]workloadmeta.CollectorEvent{
					{Type: s.Event.Op, Source: s.Event.Source, Entity: e}}); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if err := tags.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		case s.TagInfo != nil:
			info := tagger.TagInfo{
				Source: s.TagInfo.Source, Entity: s.TagInfo.Entity, LowCardTags: s.TagInfo.Low,
				OrchestratorCardTags: s.TagInfo.Orchestrator, HighCardTags: s.TagInfo.High,
				StandardTags: s.TagInfo.Standard, DeleteEntity: s.TagInfo.Delete,
			}
			if s.TagInfo.ExpiresIn != 0 {
				info.ExpiryDate = now.Add(time.Duration(s.TagInfo.ExpiresIn) * time.Second)
			}
			if err := tags.Process([]tagger.TagInfo{info}); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		case s.Advance != 0:
			now = now.Add(time.Duration(s.Advance) * time.Second)
		case s.Prune:
			tags.Prune()
		case s.Expect != nil:
			check(tags, s.Expect, func(format string, args ...any) {
				fail("step %d: "+format, append([]any{i}, args...)...)
			})
		}
	}
}

func check(tags tagger.Component, want *expectation, fail func(format string, args ...any)) {
	for id, want := range want.Entities {
		got, err := tags.GetEntity(id)
		if err != nil && len(want.Low)+len(want.Orchestrator)+len(want.High) > 0 {
			fail("%v", err)
			continue
		}
		for _, level := range []struct {
			name      string
			got, want []string
		}{
			{"low", got.LowCardTags, want.Low}, {"orchestrator", got.OrchestratorCardTags, want.Orchestrator},
			{"high", got.HighCardTags, want.High}, {"standard", slices.Compact(sorted(got.StandardTags)), want.Standard},
		} {
			if diff := cmp.Diff(sorted(level.want), sorted(level.got)); diff != "" {
				fail("%s: %s (-want +got):\n%s", id, level.name, diff)
			}
		}
		if want.Complete != nil {
			_, completeness, err := tags.TagWithCompleteness(id, tagger.HighCardinality)
			if err != nil || (completeness == tagger.Complete) != *want.Complete {
				fail("%s: completeness is %s (%v), want complete: %v", id, completeness, err,
					*want.Complete)
			}
		}
	}
	for _, id := range want.Absent { // not known, or known to have no tags
		got, known, err := tags.TagWithCompleteness(id, tagger.HighCardinality)
		if _, missing := tags.Tag(id, tagger.HighCardinality); err != nil || len(got) > 0 ||
			missing == nil && known < tagger.Partial {
			fail("%s: has %q (%s, error %v), want nothing", id, got, known, err)
		}
	}
	for id, want := range want.BySource {
		entity, _ := tags.GetEntity(id)
		got := map[string][]string{}
		for _, src := range entity.Sources {
			got[src.Source] = sorted(src.All())
		}
		for source := range want {
			want[source] = sorted(want[source])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			fail("%s: by source (-want +got):\n%s", id, diff)
		}
	}
}

// sorted returns a sorted copy that is never nil.
func sorted(tags []string) []string {
	return slices.Sorted(slices.Values(append([]string{""}, tags...)))[1:]
}

func extractOptions(t *testing.T, v vector) extract.Options {
	opts := extract.DefaultOptions()
	settings := map[string]any{}
	var static struct {
		Tags      []string `config:"tags"`
		ExtraTags []string `config:"extra_tags"`
	}
	for name, value := range v.Config {
		settings[name] = value
	}
	decode := func(into any) []string {
		var meta mapstructure.Metadata
		d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{TagName: "config",
			Result: into, Metadata: &meta})
		if err == nil {
			err = d.Decode(settings)
		}
		if err != nil {
			t.Fatalf("config: %v", err)
		}
		return meta.Unused
	}
	unused := decode(&opts)
	decode(&static)
	for _, name := range unused {
		if name != "tags" && name != "extra_tags" {
			t.Fatalf("config: unknown option %q", name)
		}
	}
	if slices.Contains(v.Features, "ecs_fargate") || slices.Contains(v.Features, "eks_fargate") {
		opts.StaticTags = extract.StaticTags(extract.StaticConfig{Tags: static.Tags,
			ExtraTags: static.ExtraTags, Hostless: true})
	}
	return opts
}

// expectedSources is what the supervisor of collectors derives from the collectors it
// detects: who is expected to report an entity.
func expectedSources(features []string) map[workloadmeta.Kind][]workloadmeta.Source {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names,
			func(n string) bool { return slices.Contains(features, n) })
	}
	expected := map[workloadmeta.Kind][]workloadmeta.Source{}
	runtime := has("docker", "containerd", "crio", "podman")
	switch {
	case has("kubernetes"):
		expected[workloadmeta.KindKubernetesPod] = []workloadmeta.Source{
			workloadmeta.SourceNodeOrchestrator, workloadmeta.SourceClusterOrchestrator}
		expected[workloadmeta.KindContainer] = []workloadmeta.Source{
			workloadmeta.SourceNodeOrchestrator}
	case has("ecs_ec2"):
		expected[workloadmeta.KindContainer] = []workloadmeta.Source{
			workloadmeta.SourceNodeOrchestrator}
	}
	if runtime {
		expected[workloadmeta.KindContainer] = append(expected[workloadmeta.KindContainer],
			workloadmeta.SourceRuntime)
	}
	return expected
}

func TestVectorIDsAreUnique(t *testing.T) {
	files, _ := filepath.Glob("testdata/tags/*.json")
	seen := map[string]string{}
	for _, file := range files {
		for _, v := range readVectors(t, file) {
			if other, ok := seen[v.ID]; ok {
				t.Errorf("%s: vector %s is in %s, too", file, v.ID, other)
			}
			seen[v.ID] = file
			if strings.TrimSpace(v.Title) == "" {
				t.Errorf("%s: vector %s has no title", file, v.ID)
			}
		}
	}
}

func TestEveryDeviationIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/deviations.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/tags/*.json")
	for _, file := range files {
		for _, v := range readVectors(t, file) {
			if v.Deviation != "" && !strings.Contains(string(doc), v.ID) {
				t.Errorf("%s: vector %s was edited (%s), docs/deviations.md does not say so", file,
					v.ID, v.Deviation)
			}
		}
	}
}
