package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// FieldValue is a value somewhere in a JSON object, for people.
type FieldValue struct{ Name, Value string }

// Fields returns the values of v's JSON object in their order. What is nested is named
// "outer.inner"; a list of plain values is one value.
func Fields(v any) ([]FieldValue, error) {
	var list []FieldValue
	err := eachField(v, func(name string, values []string) {
		list = append(list, FieldValue{name, strings.Join(values, " ")})
	})
	return list, err
}

// eachField calls visit with the name of each field of v's JSON object and its value, or the items
// of its list.
func eachField(v any, visit func(name string, values []string)) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return visitFields(dec, "", visit)
}

func visitFields(dec *json.Decoder, name string, visit func(string, []string)) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	switch token {
	case json.Delim('{'):
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("read JSON: %w", err)
			}
			inner := fmt.Sprint(key)
			if name != "" {
				inner = name + "." + inner
			}
			if err := visitFields(dec, inner, visit); err != nil {
				return err
			}
		}
	case json.Delim('['):
		var plain []string
		for i := 0; dec.More(); i++ {
			item := fmt.Sprintf("%s[%d]", name, i)
			if err := visitFields(dec, item, func(inner string, values []string) {
				if inner == item && len(values) == 1 {
					plain = append(plain, values[0])
					return
				}
				visit(inner, values)
			}); err != nil {
				return err
			}
		}
		if len(plain) > 0 {
			visit(name, plain)
		}
	case nil:
		visit(name, []string{""})
		return nil
	default:
		visit(name, []string{fmt.Sprint(token)})
		return nil
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}
