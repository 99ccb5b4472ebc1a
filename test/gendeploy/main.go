// Command gendeploy writes those parts of the Helm chart that follow from the program: the rules of
// the API that each level needs, as "rollcall rbac" prints them for the level's options, and the
// schema of the options.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

//go:generate go run . ../../deploy/helm/rollcall

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendeploy <folder of the chart>")
		os.Exit(2)
	}
	files, err := generate(os.Args[1])
	for name, content := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], name), content, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "gendeploy: %v\n", err)
		os.Exit(1)
	}
}

// generate returns what the files of a chart should be that it writes, by their names.
func generate(chart string) (map[string][]byte, error) {
	rules, err := ruleTemplates(filepath.Join(chart, "presets"))
	if err != nil {
		return nil, err
	}
	schema, err := withOptions(filepath.Join(chart, "values.schema.json"))
	return map[string][]byte{"templates/_rules.tpl": rules, "values.schema.json": schema}, err
}

// ruleTemplates writes a template for each preset, "<type>-<level>.yaml": the rules that its
// options need. The template looks at what a user may change of them: the collectors that are
// switched off, and the switches of collectors that need more.
func ruleTemplates(presets string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{{/* Written by \"go run tasks.go gen\" from the Specs. */}}\n")
	files, err := filepath.Glob(filepath.Join(presets, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		agent, level, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "-")
		fmt.Fprintf(&b, "\n{{- define \"rollcall.rules.%s.%s\" -}}\n", agent, level)
		for _, spec := range catalog.Collectors() {
			id := spec.Describe().ID
			base, more, err := needs(file, spec)
			if err != nil {
				return nil, err
			}
			if len(base) == 0 && len(more) == 0 {
				continue
			}
			fmt.Fprintf(&b, "{{- if not (include \"rollcall.off\" (list . %q)) }}\n", id)
			for _, r := range base {
				b.WriteString(r.YAML())
			}
			for _, m := range more {
				fmt.Fprintf(&b, "{{- if dig %s false . }}\n",
					`"`+strings.ReplaceAll(m.option, ".", `" "`)+`"`)
				for _, r := range m.rules {
					b.WriteString(r.YAML())
				}
				b.WriteString("{{- end }}\n")
			}
			b.WriteString("{{- end }}\n")
		}
		b.WriteString("{{- end }}\n")
	}
	return b.Bytes(), nil
}

// extra is what a switch of a collector needs.
type extra struct {
	option string
	rules  []rbac.Rule
}

// needs returns the rules that a collector needs with the options of a file, and what each of its
// own switches needs beside.
func needs(file string, spec collection.AnySpec) (base []rbac.Rule, more []extra, err error) {
	id := spec.Describe().ID
	schema := config.NewSchema(catalog.Collectors())
	rules := func(set ...string) ([]rbac.Rule, error) {
		src := config.Source{File: file}
		for _, option := range append(set, "collectors."+id+"=auto") {
			name, value, _ := strings.Cut(option, "=")
			src.Flags = append(src.Flags, config.Flag{Flag: "--set", Option: name, Value: value})
		}
		conf, err := schema.Load(src)
		if err != nil {
			return nil, err
		}
		return rbac.Rules([]collection.AnySpec{spec}, conf), nil
	}
	if base, err = rules(); err != nil {
		return nil, nil, err
	}
	for _, o := range schema.Options() {
		if !strings.HasPrefix(o.Name, id+".") || o.Type != "true or false" || o.Default != "false" {
			continue
		}
		with, err := rules(o.Name + "=true")
		if err != nil {
			return nil, nil, err
		}
		added := slices.DeleteFunc(slices.Clone(with), func(r rbac.Rule) bool {
			return contains(base, r)
		})
		if len(with)-len(added) < len(base) {
			return nil, nil, fmt.Errorf("%s takes rules away, which no template can tell", o.Name)
		}
		if len(added) > 0 {
			more = append(more, extra{o.Name, added})
		}
	}
	return base, more, nil
}

func contains(rules []rbac.Rule, r rbac.Rule) bool {
	return slices.ContainsFunc(rules, func(o rbac.Rule) bool { return o.YAML() == r.YAML() })
}

// withOptions returns the schema of a chart's values with rollcall's own options in it.
func withOptions(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	options := map[string]any{}
	for _, o := range config.NewSchema(catalog.Collectors()).Options() {
		if o.Name == "agent_type" { // the chart's
			continue
		}
		at, name := options, o.Name
		for {
			group, rest, nested := strings.Cut(name, ".")
			if !nested {
				break
			}
			if at[group] == nil {
				at[group] = object(map[string]any{})
			}
			at, name = at[group].(map[string]any)["properties"].(map[string]any), rest
		}
		s, err := schemaOf(o)
		if err != nil {
			return nil, err
		}
		s["description"] = o.Doc
		at[name] = s
	}
	schema["$defs"].(map[string]any)["options"] = object(options)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(schema)
	return b.Bytes(), err
}

func object(properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// schemaOf returns what the value of an option may be.
func schemaOf(o config.Option) (map[string]any, error) {
	texts := map[string]any{"type": "string"}
	kind, _, _ := strings.Cut(o.Type, " of ")
	switch kind {
	case "text":
		return map[string]any{"type": "string"}, nil
	case "true or false":
		return map[string]any{"type": "boolean"}, nil
	case "number":
		return map[string]any{"type": "number", "minimum": 0}, nil
	case "duration":
		return map[string]any{"type": []string{"string", "number"}}, nil
	case "auto, on or off": // Helm takes on and off for true and false, as YAML did before 1.2
		return map[string]any{"enum": []any{"auto", "on", "off", true, false}}, nil
	case "low, orchestrator or high":
		return map[string]any{"enum": []string{"low", "orchestrator", "high"}}, nil
	case "list":
		if o.Type == "list of rules" {
			return map[string]any{"type": "array"}, nil
		}
		return map[string]any{"type": "array", "items": texts}, nil
	case "map: text to text":
		return map[string]any{"type": "object", "additionalProperties": texts}, nil
	case "map":
		return map[string]any{"type": []string{"object", "string"}}, nil
	}
	return nil, fmt.Errorf("option %s: no schema for the type %q", o.Name, o.Type)
}
