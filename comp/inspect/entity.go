package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Entity is an entity of the store as it is shown: merged, with who reported it and its tags.
type Entity struct {
	// Workload is the merged entity. It is shared and must not be written to.
	Workload workloadmeta.Entity
	// Sources that reported it, strongest first.
	Sources []string
	// Tags, sorted. A process has those of its container as well, and the host those that
	// everything carries.
	Tags []string
	// ExcludedBy is the rule that leaves a container out; empty if none does.
	ExcludedBy string
}

// The names of the fields that an Entity has beside those of the workload. A workload's own field
// of such a name (an ECS task has AWS tags) has "resource_" before it.
const (
	fieldSources    = "sources"
	fieldTags       = "tags"
	fieldExcludedBy = "excluded_by"
	resource        = "resource_"
)

// MarshalJSON writes the entity's own flat form with "sources" after "kind" and "id", and
// "excluded_by" and "tags" at the end.
func (e Entity) MarshalJSON() ([]byte, error) {
	data, err := marshal(e.Workload)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("entity %s: %w", e.Workload.GetID(), err)
	}
	var b bytes.Buffer
	field := func(name string, value any) error {
		text, err := marshal(value)
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
			return nil, fmt.Errorf("entity %s: %w", e.Workload.GetID(), err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("entity %s: %w", e.Workload.GetID(), err)
		}
		key := fmt.Sprint(name)
		if key == fieldSources || key == fieldTags {
			key = resource + key
		}
		if err := field(key, value); err != nil {
			return nil, err
		}
		if key == "id" {
			if err := field(fieldSources, orEmpty(e.Sources)); err != nil {
				return nil, err
			}
		}
	}
	if e.ExcludedBy != "" {
		if err := field(fieldExcludedBy, e.ExcludedBy); err != nil {
			return nil, err
		}
	}
	if err := field(fieldTags, orEmpty(e.Tags)); err != nil {
		return nil, err
	}
	return slices.Concat([]byte("{"), b.Bytes(), []byte("}")), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (e *Entity) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("entity: %w", err)
	}
	var out Entity
	for name, into := range map[string]any{fieldSources: &out.Sources, fieldTags: &out.Tags,
		fieldExcludedBy: &out.ExcludedBy} {
		if value, ok := fields[name]; ok {
			if err := json.Unmarshal(value, into); err != nil {
				return fmt.Errorf("entity: field %q: %w", name, err)
			}
			delete(fields, name)
		}
		if own, ok := fields[resource+name]; ok {
			fields[name] = own
			delete(fields, resource+name)
		}
	}
	own, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("entity: %w", err)
	}
	out.Workload, _, err = workloadmeta.UnmarshalEntity(own)
	if err != nil {
		return err
	}
	*e = out
	return nil
}

// marshal returns v as JSON without the escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write as JSON: %w", err)
	}
	return b.Bytes(), nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// shown returns an entity as it is shown, with its tags up to a cardinality.
func (l *Local) shown(entity workloadmeta.Entity, reports []workloadmeta.Report,
	c tagger.TagCardinality) Entity {
	e := Entity{Workload: entity, Tags: l.tagsOf(entity, c), ExcludedBy: l.excludedBy(entity)}
	for _, r := range reports { // those of one source stand together
		e.Sources = append(e.Sources, string(r.Source))
	}
	e.Sources = slices.Compact(e.Sources)
	return e
}

// tagsOf returns an entity's tags.
func (l *Local) tagsOf(entity workloadmeta.Entity, c tagger.TagCardinality) []string {
	id := extract.TaggerID(entity.GetID())
	if entity.GetID().Kind == workloadmeta.KindHost {
		id = tagger.GlobalEntityID
	}
	tags, _ := l.opts.Tagger.Tag(id, c) // an unknown entity has none
	if container := containerOf(entity); container != "" {
		more, _ := l.opts.Tagger.Tag(container, c)
		tags = append(tags, more...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// containerOf returns the container whose tags a process carries, "" for anything else.
func containerOf(entity workloadmeta.Entity) tagger.EntityID {
	if p, ok := entity.(*workloadmeta.Process); ok && p.ContainerID != "" {
		return tagger.Container(p.ContainerID)
	}
	return ""
}
