package extract_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// vectorFolder holds the conformance vectors; their format is documented there.
const vectorFolder = "../../../test/conformance/testdata/tags"

type vector struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Features []string       `json:"features"`
	Config   map[string]any `json:"config"`
	Events   []vectorEvent  `json:"events"`
	Expect   *expectation   `json:"expect"`
	Steps    []vectorStep   `json:"steps"`
}

type vectorStep struct {
	Event  *vectorEvent `json:"event"`
	Expect *expectation `json:"expect"`
}

type vectorEvent struct {
	Op     string              `json:"op"`
	Source workloadmeta.Source `json:"source"`
	Entity json.RawMessage     `json:"entity"`
}

type expectation struct {
	Entities map[tagger.EntityID]struct {
		Low, Orchestrator, High, Standard []string
	} `json:"entities"`
	Absent   []tagger.EntityID                       `json:"absent"`
	BySource map[tagger.EntityID]map[string][]string `json:"by_source"`
}

// eventVectors returns the vectors of which only events and expectations are to be
// understood: no clock, no tag infos from elsewhere, nothing unset.
func eventVectors(t testing.TB) []vector {
	files, err := filepath.Glob(filepath.Join(vectorFolder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", vectorFolder, err)
	}
	var out []vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var content struct{ Vectors []json.RawMessage }
		if err := json.Unmarshal(data, &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, raw := range content.Vectors {
			if strings.Contains(string(raw), `"tag_info"`) ||
				strings.Contains(string(raw), `"advance_s"`) ||
				strings.Contains(string(raw), `"unset"`) {
				continue
			}
			var v vector
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for i := range v.Events {
				v.Steps = append(v.Steps, vectorStep{Event: &v.Events[i]})
			}
			if v.Expect != nil {
				v.Steps = append(v.Steps, vectorStep{Expect: v.Expect})
			}
			out = append(out, v)
		}
	}
	return out
}

// options reads a vector's configuration the way a configuration component would.
func (v *vector) options(t testing.TB) extract.Options {
	o := extract.DefaultOptions()
	rest := map[string]any{}
	static := extract.StaticConfig{Hostless: slices.Contains(v.Features, "ecs_fargate") ||
		slices.Contains(v.Features, "eks_fargate")}
	list := func(value any) (out []string) {
		for _, item := range value.([]any) {
			out = append(out, item.(string))
		}
		return out
	}
	for name, value := range v.Config {
		switch name {
		case "tags":
			static.Tags = list(value)
		case "extra_tags":
			static.ExtraTags = list(value)
		default:
			rest[name] = value
		}
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{TagName: "config",
		ErrorUnused: true, Result: &o})
	if err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(rest); err != nil {
		t.Fatalf("config: %v", err)
	}
	o.StaticTags = extract.StaticTags(static)
	return o
}

// world is a store and a tag store of the simplest kind: merged views, and the last
// tag info of each source.
type world struct {
	x     *extract.Extractor
	views map[workloadmeta.EntityID][]workloadmeta.Report
	infos map[tagger.EntityID]map[string]tagger.TagInfo
}

func newWorld(t testing.TB, o extract.Options) *world {
	x, err := extract.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{x: x, views: map[workloadmeta.EntityID][]workloadmeta.Report{},
		infos: map[tagger.EntityID]map[string]tagger.TagInfo{}}
	if info, ok := x.StaticInfo(); ok {
		w.put(info)
	}
	return w
}

func (w *world) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	views := w.views[id]
	if len(views) == 0 {
		return nil, errors.New("not found")
	}
	return workloadmeta.Merge(views), nil
}

func (w *world) all() (all entities) {
	for _, views := range w.views {
		all = append(all, workloadmeta.Merge(views))
	}
	return all
}

func (w *world) extractAll() (infos [][]tagger.TagInfo) {
	for _, e := range w.all() {
		infos = append(infos, w.x.Extract(e, w))
	}
	return infos
}

func (w *world) Find(q extract.Query) []workloadmeta.Entity { return w.all().Find(q) }
func (*world) Complete(workloadmeta.EntityID) bool          { return true }
func (*world) Expected(workloadmeta.Kind) bool              { return false }
func (*world) Listed() bool                                 { return true }

func (w *world) set(source workloadmeta.Source, e workloadmeta.Entity) workloadmeta.Entity {
	id := e.GetID()
	report := workloadmeta.NewReport(workloadmeta.NewReporter(source), e, time.Time{})
	views := workloadmeta.Confirm(w.views[id], report)
	w.views[id] = views
	return workloadmeta.Merge(views)
}

func (w *world) put(info tagger.TagInfo) {
	if w.infos[info.Entity] == nil {
		w.infos[info.Entity] = map[string]tagger.TagInfo{}
	}
	w.infos[info.Entity][info.Source] = info
	if info.Empty() {
		delete(w.infos[info.Entity], info.Source)
	}
}

// resolve applies the priorities of sources: a name is taken from the highest only.
func (w *world) resolve(id tagger.EntityID) (low, orchestrator, high, standard []string) {
	infos := w.infos[id]
	visible := func(source, tag string) bool {
		for other, info := range infos {
			if tagger.SourcePriority(other) <= tagger.SourcePriority(source) {
				continue
			}
			for _, have := range slices.Concat(info.LowCardTags, info.OrchestratorCardTags,
				info.HighCardTags) {
				if tagset.Name(have) == tagset.Name(tag) {
					return false
				}
			}
		}
		return true
	}
	for source, info := range infos {
		for _, list := range []struct {
			tags []string
			out  *[]string
		}{{info.LowCardTags, &low}, {info.OrchestratorCardTags, &orchestrator}, {info.HighCardTags,
			&high}, {info.StandardTags, &standard}} {
			for _, tag := range list.tags {
				if visible(source, tag) {
					*list.out = append(*list.out, tag)
				}
			}
		}
	}
	slices.Sort(standard)
	return low, orchestrator, high, slices.Compact(standard)
}

func (w *world) check(t *testing.T, want *expectation) {
	t.Helper()
	same := func(what string, got, want []string) {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", what, got, want)
		}
	}
	for id, e := range want.Entities {
		low, orchestrator, high, standard := w.resolve(id)
		same(string(id)+" low", low, e.Low)
		same(string(id)+" orchestrator", orchestrator, e.Orchestrator)
		same(string(id)+" high", high, e.High)
		same(string(id)+" standard", standard, e.Standard)
	}
	for _, id := range want.Absent {
		low, orchestrator, high, standard := w.resolve(id)
		same(string(id), slices.Concat(low, orchestrator, high, standard), nil)
	}
	for id, bySource := range want.BySource {
		for source, tags := range bySource {
			info := w.infos[id][source]
			same(fmt.Sprintf("%s from %s", id, source),
				slices.Concat(info.LowCardTags, info.OrchestratorCardTags, info.HighCardTags), tags)
		}
		if len(w.infos[id]) != len(bySource) {
			t.Errorf("%s: %d sources, want %d", id, len(w.infos[id]), len(bySource))
		}
	}
}

// runVector feeds a vector's events and calls each for every merged entity before its
// tags are extracted.
func runVector(t *testing.T, v vector, each func(*world, workloadmeta.Entity)) {
	w := newWorld(t, v.options(t))
	for _, step := range v.Steps {
		if step.Expect != nil {
			w.check(t, step.Expect)
			continue
		}
		e, unknown, err := workloadmeta.UnmarshalEntity(step.Event.Entity)
		if err != nil || len(unknown) > 0 {
			t.Fatalf("entity %s: unknown fields %q, %v", step.Event.Entity, unknown, err)
		}
		merged := w.set(step.Event.Source, e)
		if each != nil {
			each(w, merged)
		}
		// Every time everything, which is the simplest way to follow what depends on what.
		for _, infos := range append(w.extractAll(), w.x.Global(w)) {
			for _, info := range infos {
				w.put(info)
			}
		}
	}
}

func TestVectors(t *testing.T) {
	vectors := eventVectors(t)
	if len(vectors) < 90 {
		t.Errorf("only %d vectors found", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.ID, func(t *testing.T) { runVector(t, v, nil) })
	}
}

// kinds that a tagger entity's prefix stands for.
func kindOf(id tagger.EntityID) workloadmeta.Kind {
	for _, k := range workloadmeta.Kinds() {
		if extract.TaggerID(workloadmeta.EntityID{Kind: k, ID: "x"}).Prefix() == id.Prefix() {
			return k
		}
	}
	return 0
}

// TestEveryTagIsDefined: whatever the vectors make is in the table of definitions, at
// that cardinality and for that kind of entity; and an explanation has exactly the tags
// of the extraction.
func TestEveryTagIsDefined(t *testing.T) {
	definitions := extract.Definitions()
	made := map[string]bool{}
	for _, v := range eventVectors(t) {
		runVector(t, v, func(w *world, e workloadmeta.Entity) {
			traced, _ := w.x.Explain(e, w)
			type key struct {
				entity      tagger.EntityID
				tag         string
				cardinality tagger.TagCardinality
			}
			explained := map[key]bool{}
			for _, tr := range traced {
				explained[key{tr.Entity, tr.Tag, tr.Cardinality}] = true
				made[tr.Rule] = true
				if tr.Rule == "" || tr.Field == "" || tr.Source == "" {
					t.Errorf("%s: incomplete %+v", v.ID, tr)
				}
				if tr.Rule == "static tag" || strings.Contains(tr.Rule, "_as_tags[") {
					continue // the user's names
				}
				if !slices.ContainsFunc(definitions, func(d extract.Definition) bool {
					dynamic := strings.HasPrefix(d.Name, "<")
					field, _, _ := strings.Cut(d.Field, "<")
					return strings.HasPrefix(tr.Field, field) &&
						(d.Name == tagset.Name(tr.Tag) && d.Cardinality == tr.Cardinality ||
							dynamic) &&
						(d.Standard == tr.Standard) &&
						(tr.Entity == tagger.GlobalEntityID ||
							slices.Contains(d.Kinds, kindOf(tr.Entity)))
				}) {
					t.Errorf("%s: no definition for %+v", v.ID, tr)
				}
			}
			extracted := map[key]bool{}
			for _, info := range w.x.Extract(e, w) {
				for c, tags := range [][]string{info.LowCardTags, info.OrchestratorCardTags,
					info.HighCardTags} {
					for _, tag := range tags {
						k := key{info.Entity, tag, tagger.TagCardinality(c)}
						if !explained[k] {
							t.Errorf("%s: %v is not explained", v.ID, k)
						}
						extracted[k] = true
					}
				}
			}
			if len(extracted) != len(explained) {
				t.Errorf("%s: %d tags extracted, %d explained", v.ID, len(extracted),
					len(explained))
			}
		})
	}
	if len(made) < 60 {
		t.Errorf("the vectors use only %d rules", len(made))
	}
}
