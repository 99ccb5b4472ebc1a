package workloadmeta

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
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
	if !id.Kind.Valid() {
		return nil, nil, errors.New(`entity: field "kind" is null`)
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
	known := jsonFields(reflect.TypeOf(e).Elem(), map[string]reflect.Type{})
	foreign := false
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if t, ok := known[name]; ok {
			unknown = unknownWithin(t, fields[name], name, unknown)
			continue
		}
		unknown = append(unknown, name)
		delete(fields, name) // or it would fill a field whose name differs in case only
		foreign = true
	}
	if foreign {
		if data, err = json.Marshal(fields); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", id, nameField(id, fields, err))
	}
	slices.Sort(unknown)
	return e, slices.Compact(unknown), nil
}

// nameField says which field an error is about: one of a value's own methods does not
// know in which field it is.
func nameField(id EntityID, fields map[string]json.RawMessage, err error) error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) {
		return fmt.Errorf("field %q: want %s, have a JSON %s", fieldPath(typeErr.Field),
			typeErr.Type, typeErr.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		alone, _ := NewEntity(id)
		data, _ := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err := json.Unmarshal(data, alone); err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	return err
}

// fieldPath removes the names of embedded Go structs, which are not in the JSON.
func fieldPath(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "EntityMeta."), "EntityID.")
}

// unknownWithin appends the names of fields inside a value of type t that t does not
// have, with the path to them. What is not of the type's shape is left to the decoder.
func unknownWithin(t reflect.Type, value json.RawMessage, path string, unknown []string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil {
			return unknown
		}
		for _, item := range items {
			unknown = unknownWithin(t.Elem(), item, path+"[]", unknown)
		}
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		var fields map[string]json.RawMessage
		if json.Unmarshal(value, &fields) != nil {
			return unknown
		}
		known := jsonFields(t, map[string]reflect.Type{})
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if inner, ok := known[name]; ok {
				unknown = unknownWithin(inner, fields[name], path+"."+name, unknown)
			} else {
				unknown = append(unknown, path+"."+name)
			}
		}
	}
	return unknown
}

// jsonFields adds the JSON names of a struct's fields, those of embedded structs
// included, with their types.
func jsonFields(t reflect.Type, fields map[string]reflect.Type) map[string]reflect.Type {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			jsonFields(f.Type, fields)
		case name != "":
			fields[name] = f.Type
		}
	}
	return fields
}
