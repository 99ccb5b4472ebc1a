package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// view is an entity as commands show it: merged, with who reported it and its tags.
type view struct {
	entity  workloadmeta.Entity
	sources []string
	tags    []string // sorted
	// excludedBy is the rule that leaves a container out; "" = none does.
	excludedBy string
}

// MarshalJSON writes the entity's own flat form with "sources" after "kind" and "id", and "tags" at
// the end. An entity that has a field of one of these names (an ECS task has AWS tags) shows it
// with "resource_" before it.
func (v view) MarshalJSON() ([]byte, error) {
	data, err := encode(v.entity, false)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("entity %s: %w", v.entity.GetID(), err)
	}
	var b bytes.Buffer
	field := func(name string, value any) error {
		text, err := encode(value, false)
		if err != nil {
			return err
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, bytes.TrimSpace(text))
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("entity %s: %w", v.entity.GetID(), err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("entity %s: %w", v.entity.GetID(), err)
		}
		key := fmt.Sprint(name)
		if key == "sources" || key == "tags" {
			key = "resource_" + key
		}
		if err := field(key, value); err != nil {
			return nil, err
		}
		if key == "id" {
			if err := field("sources", orEmpty(v.sources)); err != nil {
				return nil, err
			}
		}
	}
	if v.excludedBy != "" {
		if err := field("excluded_by", v.excludedBy); err != nil {
			return nil, err
		}
	}
	if err := field("tags", orEmpty(v.tags)); err != nil {
		return nil, err
	}
	return slices.Concat([]byte("{"), b.Bytes(), []byte("}")), nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// view returns an entity with its tags up to a cardinality.
func (e *engine) view(entity workloadmeta.Entity, views []workloadmeta.Report,
	c tagger.TagCardinality) view {
	v := view{entity: entity, tags: e.tagsOf(entity, c), excludedBy: e.excludedBy(entity)}
	for _, r := range views { // those of one source stand together
		v.sources = append(v.sources, string(r.Source))
	}
	v.sources = slices.Compact(v.sources)
	return v
}

// tagsOf returns an entity's tags. A process carries those of its container as well, and the tags
// of the host are those that everything carries.
func (e *engine) tagsOf(entity workloadmeta.Entity, c tagger.TagCardinality) []string {
	id := extract.TaggerID(entity.GetID())
	if entity.GetID().Kind == workloadmeta.KindHost {
		id = tagger.GlobalEntityID
	}
	tags, _ := e.tagger.Tag(id, c) // an unknown entity has none
	if p, ok := entity.(*workloadmeta.Process); ok && p.ContainerID != "" {
		more, _ := e.tagger.Tag(tagger.Container(p.ContainerID), c)
		tags = append(tags, more...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// views returns the entities of the kinds, by kind in the given order, then by ID.
func (e *engine) views(kinds []workloadmeta.Kind, c tagger.TagCardinality) []view {
	list := []view{}
	for _, kind := range kinds {
		from := len(list)
		for entity := range e.store.List(kind) {
			views, _ := e.store.Reports(entity.GetID()) // none if it has just gone
			list = append(list, e.view(entity, views, c))
		}
		slices.SortFunc(list[from:],
			func(a, b view) int { return compareIDs(a.entity.GetID().ID, b.entity.GetID().ID) })
	}
	return list
}

// compareEntities compares by kind, then by ID.
func compareEntities(a, b workloadmeta.Entity) int {
	x, y := a.GetID(), b.GetID()
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), compareIDs(x.ID, y.ID))
}

// compareIDs compares numbers as numbers.
func compareIDs(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// shortID is what people use of a container's or an image's ID.
func shortID(id string) string {
	if len(id) > 7 && id[:7] == "sha256:" {
		id = id[7:]
	}
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

// age says how long ago something was in one unit, "" if it is not known.
func age(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch d := max(now.Sub(t), 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
