package workloadmeta

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Entities are encoded by [json.Marshal] as one flat object with "kind", "id" and
// the snake_case names of their fields. This form is the same on the command line,
// in recordings and over the wire.

// UnmarshalEntity decodes that form. Errors name the field. Fields it does not know
// are skipped and returned, sorted, so that a caller can report them: a newer
// rollcall may have recorded more than this one understands.
func UnmarshalEntity(data []byte) (e Entity, unknown []string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, nil, fmt.Errorf("entity: %w", err)
	}
	var id EntityID
	if _, ok := fields["kind"]; !ok {
		return nil, nil, errors.New(`entity: field "kind" is missing`)
	}
	if err := json.Unmarshal(fields["kind"], &id.Kind); err != nil {
		return nil, nil, fmt.Errorf(`entity: field "kind": %w`, err)
	}
	if _, ok := fields["id"]; !ok {
		return nil, nil, fmt.Errorf(`%s: field "id" is missing`, id.Kind)
	}
	if err := json.Unmarshal(fields["id"], &id.ID); err != nil {
		return nil, nil, fmt.Errorf(`%s: field "id": %w`, id.Kind, err)
	}
	if id.ID == "" {
		return nil, nil, fmt.Errorf(`%s: field "id" is empty`, id.Kind)
	}
	if e, err = NewEntity(id); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(data, e); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) {
			return nil, nil, fmt.Errorf("%s: field %q: want %s, have a JSON %s", id, fieldPath(typeErr.Field), typeErr.Type, typeErr.Value)
		}
		return nil, nil, fmt.Errorf("%s: %w", id, err)
	}
	known := jsonNames(reflect.TypeOf(e).Elem(), nil)
	for name := range fields {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return e, unknown, nil
}

// fieldPath removes the names of embedded Go structs, which are not in the JSON.
func fieldPath(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "EntityMeta."), "EntityID.")
}

func jsonNames(t reflect.Type, names []string) []string {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = jsonNames(f.Type, names)
		case name != "":
			names = append(names, name)
		}
	}
	return names
}
