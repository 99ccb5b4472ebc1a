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
	rules, err := ruleTemplates()
	if err != nil {
		return nil, err
	}
	schema, err := withOptions(filepath.Join(chart, "values.schema.json"))
	return map[string][]byte{"templates/_rules.tpl": rules, "values.schema.json": schema}, err
}

// choice is an option of which the rules of its collector depend as a whole.
type choice struct {
	option string
	values []string
}

// choices are those that there are, by collector.
var choices = map[string]choice{
	"kubelet": {"kubelet.pod_source", []string{"kubelet", "auto", "apiserver"}},
}

// ruleTemplates writes two templates for each type of agent, which take rollcall's options: the
// rules that these need in the cluster, and those in the agent's own namespace. They look at the
// collectors that are switched off, at the choices, and at the switches of collectors that need
// more. What the API server is asked for is a list, for which the chart has a template.
func ruleTemplates() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{{/* Written by \"go run tasks.go gen\" from the Specs. */}}\n")
	for _, agent := range []collection.Agent{collection.Node, collection.Cluster} {
		for _, own := range []bool{false, true} {
			name := "rules"
			if own {
				name = "ownRules"
			}
			fmt.Fprintf(&b, "\n{{- define \"rollcall.%s.%s\" -}}\n", name, agent)
			for _, spec := range catalog.Collectors() {
				if err := writeCollector(&b, needs{agent, spec, own}); err != nil {
					return nil, err
				}
			}
			b.WriteString("{{- end }}\n")
		}
	}
	return b.Bytes(), nil
}

// writeCollector writes what a collector needs that is not switched off, with each choice.
func writeCollector(b *bytes.Buffer, n needs) error {
	id := n.spec.Describe().ID
	made, ok := choices[id]
	if !ok {
		made = choice{values: []string{""}}
	}
	var all bytes.Buffer
	for _, value := range made.values {
		var one bytes.Buffer
		var set []string
		if made.option != "" {
			set = []string{made.option + "=" + value}
		}
		if err := writeRules(&one, n, set); err != nil {
			return err
		}
		if made.option != "" && one.Len() > 0 {
			fmt.Fprintf(&all, "{{- if eq (dig %s %q .) %q }}\n%s{{- end }}\n", path(made.option),
				made.values[0], value, one.String())
		} else {
			all.Write(one.Bytes())
		}
	}
	if all.Len() > 0 {
		fmt.Fprintf(b, "{{- if not (include \"rollcall.off\" (list . %q)) }}\n%s{{- end }}\n", id,
			all.String())
	}
	return nil
}

// writeRules writes what a collector needs with the options that are set, and what each of its own
// switches needs beside.
func writeRules(b *bytes.Buffer, n needs, set []string) error {
	base, err := n.rules(set...)
	if err != nil {
		return err
	}
	id := n.spec.Describe().ID
	if !n.own && id == "apiserver" {
		var asked []string
		for _, r := range base {
			asked = append(asked, fmt.Sprintf("%q", r.Group+"/"+r.Resource))
		}
		fmt.Fprintf(b, "{{- include \"rollcall.resources\" (dict \"options\" . \"type\" %q "+
			"\"default\" (list %s)) }}\n", n.agent, strings.Join(asked, " "))
	} else {
		for _, r := range base {
			b.WriteString(r.YAML())
		}
	}
	for _, o := range config.NewSchema(catalog.Collectors()).Options() {
		if !strings.HasPrefix(o.Name, id+".") || o.Type != "true or false" || o.Default != "false" {
			continue
		}
		with, err := n.rules(append(slices.Clone(set), o.Name+"=true")...)
		if err != nil {
			return err
		}
		added := slices.DeleteFunc(slices.Clone(with), func(r rbac.Rule) bool {
			return contains(base, r)
		})
		if len(with)-len(added) < len(base) {
			return fmt.Errorf("%s takes rules away, which no template can tell", o.Name)
		}
		if len(added) == 0 {
			continue
		}
		fmt.Fprintf(b, "{{- if dig %s false . }}\n", path(o.Name))
		for _, r := range added {
			b.WriteString(r.YAML())
		}
		b.WriteString("{{- end }}\n")
	}
	return nil
}

// path writes the name of an option as the function dig takes it.
func path(option string) string { return `"` + strings.ReplaceAll(option, ".", `" "`) + `"` }

// needs asks what a collector needs, in the cluster or in the agent's own namespace.
type needs struct {
	agent collection.Agent
	spec  collection.AnySpec
	own   bool
}

// rules returns that with options that are set.
func (n needs) rules(set ...string) ([]rbac.Rule, error) {
	src := config.Source{}
	for _, option := range append(set, "agent_type="+string(n.agent)) {
		name, value, _ := strings.Cut(option, "=")
		src.Flags = append(src.Flags, config.Flag{Flag: "--set", Option: name, Value: value})
	}
	conf, err := config.NewSchema(catalog.Collectors()).Load(src)
	if err != nil {
		return nil, err
	}
	rules, err := rbac.Rules([]collection.AnySpec{n.spec}, conf)
	return slices.DeleteFunc(rules,
		func(r rbac.Rule) bool { return (r.Namespace == collection.OwnNamespace) != n.own }), err
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
	case "map": // not the text with JSON that rollcall takes, too: the chart looks into it
		return map[string]any{"type": "object"}, nil
	}
	return nil, fmt.Errorf("option %s: no schema for the type %q", o.Name, o.Type)
}
