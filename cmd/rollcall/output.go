package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// encode returns v as JSON without the escapes that only HTML needs, indented for people if asked.
func encode(v any, indent bool) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if indent {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// structured reports whether the output is for programs.
func (a *app) structured() bool { return a.output == "json" || a.output == "yaml" }

func (a *app) wide() bool { return a.output == "wide" }

// print writes v as JSON or YAML.
func (a *app) print(v any) error {
	data, err := encode(v, true)
	if err != nil {
		return err
	}
	if a.output == "yaml" {
		if data, err = toYAML(data); err != nil {
			return err
		}
	}
	_, err = a.out.Write(data)
	return err
}

// printTable writes a table to the standard output.
func (a *app) printTable(t *table) error {
	return t.write(a.out, a.cutAt(), a.color())
}

// cutAt returns the width that lines are cut to; 0 = none.
func (a *app) cutAt() int {
	switch {
	case a.width >= 0:
		return a.width
	case a.wide():
		return 0
	}
	return terminalWidth(a.out)
}
