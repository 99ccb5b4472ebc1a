package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// taggedEntity is an entity of the tagger as it is printed. Lists are sorted by bytes, and the
// first three are disjoint.
type taggedEntity struct {
	ID           string              `json:"id"`
	Low          []string            `json:"low"`
	Orchestrator []string            `json:"orchestrator"`
	High         []string            `json:"high"`
	Standard     []string            `json:"standard"`
	Complete     bool                `json:"complete"`
	Sources      map[string][]string `json:"sources"` // before priorities are applied
}

func (a *app) tagsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "tags [entity-id]",
		Short: "Show the tags of one entity, or of all",
		Long: `Show the tags that telemetry of one entity must carry, or of all entities. An entity is named by its ID in
the tagger (container_id://…), by a service's ID (docker://…), or by a container's or pod's name or the
beginning of its ID. The list leaves out containers that rules leave out.`,
		Example: `  rollcall tags web
  rollcall tags container_id://3f0c… --cardinality low
  rollcall tags -o json --from recording.jsonl --config mapping.yaml`,
		Args:              args(0, 1, "at most one entity ID"),
		ValidArgsFunction: a.completeTagged,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tags(cmd.Context(), args, all)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "containers that rules leave out, too")
	return cmd
}

func (a *app) tags(ctx context.Context, args []string, all bool) error {
	c, err := a.cardinality(tagger.HighCardinality)
	if err != nil {
		return err
	}
	var past *past
	e, err := a.open(ctx, true, func(e *engine) {
		if len(args) == 0 && !all {
			past = e.follow(ctx)
		}
	})
	if past != nil {
		defer past.stop()
	}
	if err != nil {
		return err
	}
	defer e.close()
	if len(args) == 0 {
		list := e.tagger.List()
		if past != nil {
			left := past.leftOut(e)
			list = slices.DeleteFunc(list,
				func(entity tagger.Entity) bool { return left[entity.ID] })
		}
		return e.printTags(slices.DeleteFunc(list, tagless), c)
	}
	id, err := e.entityID(args[0])
	if err != nil {
		return err
	}
	entity, err := e.tagger.GetEntity(id)
	if err != nil {
		return notFoundf("%w: %s", err, e.tagger.Explain(id).Reason)
	}
	if tagless(entity) {
		if hint := e.hint(id); hint != "" {
			a.say("%s", hint)
		}
	}
	if a.structured() {
		return e.printTags([]tagger.Entity{entity}, c)
	}
	return e.printOne(entity, c)
}

// tagless reports whether an entity is known to have no tags. Lists leave it out.
func tagless(entity tagger.Entity) bool {
	return len(entity.LowCardTags)+len(entity.OrchestratorCardTags)+len(entity.HighCardTags) == 0
}

// runs reports whether the store knows what a tagger's entity stands for.
func (e *engine) runs(id tagger.EntityID) bool {
	_, ok := e.workload(id)
	return ok
}

func (e *engine) workload(id tagger.EntityID) (workloadmeta.Entity, bool) {
	for _, kind := range workloadmeta.Kinds() {
		wid := workloadmeta.EntityID{Kind: kind, ID: id.ID()}
		if extract.TaggerID(wid) == id {
			entity, err := e.store.Get(wid)
			return entity, err == nil
		}
	}
	return nil, false
}

// hint says where the tags of a process without any of its own are.
func (e *engine) hint(id tagger.EntityID) string {
	if entity, ok := e.workload(id); ok {
		if p, ok := entity.(*workloadmeta.Process); ok && p.ContainerID != "" {
			return "it has no tags of its own; those of its container are at " +
				string(tagger.Container(p.ContainerID))
		}
		if entity.GetID().Kind == workloadmeta.KindHost {
			return "the tags of the host are at " + string(tagger.GlobalEntityID)
		}
	}
	return "no rule makes a tag of anything known about it"
}

// printTags prints entities with their tags up to a cardinality.
func (e *engine) printTags(list []tagger.Entity, c tagger.TagCardinality) error {
	entities := make([]taggedEntity, len(list))
	for i, entity := range list {
		entities[i] = tagged(entity, c)
	}
	slices.SortFunc(entities, func(a, b taggedEntity) int { return strings.Compare(a.ID, b.ID) })
	if e.app.structured() {
		return e.app.print(map[string]any{"entities": entities})
	}
	t := &table{titles: []string{"ENTITY", "COMPLETE", "TAGS"}, fixed: []bool{false, true, false},
		favour: 3}
	for _, entity := range entities {
		t.rows = append(t.rows, []string{
			entity.ID, yesNo(entity.Complete),
			tagLine(slices.Concat(entity.Low, entity.Orchestrator, entity.High)),
		})
	}
	if len(t.rows) == 0 {
		return nil
	}
	return e.app.printTable(t)
}

// printOne prints the tags of one entity, a line each.
func (e *engine) printOne(entity tagger.Entity, c tagger.TagCardinality) error {
	t := &table{titles: []string{"TAG", "CARDINALITY", "SOURCE"}, fixed: []bool{false, true, true}}
	shown := tagged(entity, c)
	for _, level := range []struct {
		name string
		tags []string
	}{{"low", shown.Low}, {"orchestrator", shown.Orchestrator}, {"high", shown.High}} {
		for _, tag := range level.tags {
			name := level.name
			if name == "low" && slices.Contains(shown.Standard, tag) {
				name = "low, standard"
			}
			t.rows = append(t.rows, []string{tag, name, strings.Join(sourcesOf(entity, tag), ",")})
		}
	}
	return e.app.printTable(t)
}

// sourcesOf names the sources of the strongest priority that say a tag: those it comes from.
func sourcesOf(entity tagger.Entity, tag string) []string {
	var names []string
	best := tagger.PriorityNodeRuntime
	for _, s := range entity.Sources {
		if !slices.Contains(s.All(), tag) {
			continue
		}
		if p := tagger.SourcePriority(s.Source); p > best {
			best, names = p, nil
		} else if p < best {
			continue
		}
		names = append(names, s.Source)
	}
	return names
}

// tagged returns an entity as it is printed, without the levels above a cardinality.
func tagged(entity tagger.Entity, c tagger.TagCardinality) taggedEntity {
	upTo := func(level tagger.TagCardinality, tags []string) []string {
		if level > c {
			return []string{}
		}
		sorted := append([]string{}, tags...)
		slices.Sort(sorted)
		return sorted
	}
	out := taggedEntity{
		ID:           string(entity.ID),
		Low:          upTo(tagger.LowCardinality, entity.LowCardTags),
		Orchestrator: upTo(tagger.OrchestratorCardinality, entity.OrchestratorCardTags),
		High:         upTo(tagger.HighCardinality, entity.HighCardTags),
		Standard:     upTo(tagger.LowCardinality, entity.StandardTags),
		Complete:     entity.Completeness == tagger.Complete,
		Sources:      map[string][]string{},
	}
	for _, s := range entity.Sources {
		all := slices.Concat(upTo(tagger.LowCardinality, s.Low),
			upTo(tagger.OrchestratorCardinality, s.Orchestrator), upTo(tagger.HighCardinality,
				s.High))
		slices.Sort(all)
		out.Sources[s.Source] = orEmpty(all)
	}
	return out
}
