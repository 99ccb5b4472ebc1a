package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// field is a value somewhere in a JSON object.
type field struct{ name, value string }

// flatten returns the values of a JSON object in their order. What is nested is named
// "outer.inner"; lists of plain values are one value.
func flatten(data []byte) ([]field, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var fields []field
	if err := flattenValue(dec, "", &fields); err != nil {
		return nil, err
	}
	return fields, nil
}

func flattenValue(dec *json.Decoder, name string, fields *[]field) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		if token == nil {
			token = ""
		}
		*fields = append(*fields, field{name, fmt.Sprint(token)})
		return nil
	}
	if delim == '{' {
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("read JSON: %w", err)
			}
			inner := fmt.Sprint(key)
			if name != "" {
				inner = name + "." + inner
			}
			if err := flattenValue(dec, inner, fields); err != nil {
				return err
			}
		}
	} else {
		var plain []string
		for i := 0; dec.More(); i++ {
			var items []field
			if err := flattenValue(dec, fmt.Sprintf("%s[%d]", name, i), &items); err != nil {
				return err
			}
			if len(items) == 1 && items[0].name == fmt.Sprintf("%s[%d]", name, i) {
				plain = append(plain, items[0].value)
				continue
			}
			*fields = append(*fields, items...)
		}
		if len(plain) > 0 {
			*fields = append(*fields, field{name, strings.Join(plain, " ")})
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}
