package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// ParseRules reads a list of rules as it stands in a configuration file: either the list
// alone, or a file with nothing but the option "rules". name is what errors and
// [rules.Rule.Where] call it. The error is one line with everything that is wrong, each part
// with its line.
func ParseRules(name string, data []byte) ([]rules.Rule, error) {
	top, line, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("%s:%s: %w", name, line, err)
	}
	if top == nil {
		return nil, nil
	}
	if top.Kind == yaml.MappingNode {
		if len(top.Content) != 2 || resolve(top.Content[0]).Value != "rules" {
			return nil, fmt.Errorf(
				"%s:%d: want a list of rules, or the option rules and nothing else", name, top.Line)
		}
		top = resolve(top.Content[1])
	}
	list, problems := parseRules(name, top)
	if len(problems) > 0 {
		texts := make([]string, len(problems))
		for i, p := range problems {
			texts[i] = fmt.Sprintf("%s:%d: %v", name, p.line, p.err)
		}
		// of a pattern
		return nil, errors.New(strings.ReplaceAll(strings.Join(texts, "; "), "\n", `\n`))
	}
	return list, nil
}

// ReadRules reads a file with rules.
func ReadRules(name string) ([]rules.Rule, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the rules %s: %w", name, plain(err))
	}
	return ParseRules(name, data)
}

// yamlError returns the line and the text of an error of the YAML parser.
func yamlError(err error) (line, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		line, rest, _ := strings.Cut(rest, ": ")
		return line, rest
	}
	return "1", text // the parser leaves out line 1
}

func parseRules(file string, n *yaml.Node) (list []rules.Rule, problems []*problem) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, []*problem{{n.Line, fmt.Errorf("want a list of rules, have %s", describe(n))}}
	}
	for i, item := range n.Content {
		item = resolve(item)
		r, err := parseRule(item)
		r.Name = fmt.Sprintf("rules[%d]", i+1)
		r.Where = fmt.Sprintf("%s:%d", file, item.Line)
		if err == nil {
			err = r.Check()
		}
		if err != nil {
			line := item.Line
			if p, ok := errors.AsType[*problem](err); ok {
				line, err = p.line, p.err
			}
			problems = append(problems, &problem{line, fmt.Errorf("%s: %w", r.Name, err)})
			continue
		}
		list = append(list, r)
	}
	return list, problems
}

// actions lists what a rule may do, for error messages.
const actions = "exclude, include, tag, rename, drop, keep or cardinality"

func parseRule(n *yaml.Node) (r rules.Rule, err error) {
	if n.Kind != yaml.MappingNode {
		return r, wrong(n, "want a map with one action (%s), have %s", actions, describe(n))
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if _, ok := fields[key.Value]; ok {
			return r, wrong(key, "%s is there twice", key.Value)
		}
		fields[key.Value] = resolve(n.Content[i+1])
	}
	// Of "tag: …, cardinality: low" the action is the tag.
	_, makes := fields["tag"]
	var action *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		a, ok := rules.ParseAction(key.Value)
		switch {
		case ok && makes && a == rules.Cardinality:
		case ok && action != nil:
			return r, wrong(key, "two actions, %s and %s; write two rules", r.Action, a)
		case ok:
			r.Action, action = a, fields[key.Value]
		case key.Value == "when", key.Value == "from":
		default:
			return r, wrong(key, "unknown key %q (want %s; when; from and cardinality of a tag)",
				key.Value, actions)
		}
	}
	if action == nil {
		return r, wrong(n, "no action (want %s)", actions)
	}
	if err := parseAction(&r, action); err != nil {
		return r, err
	}
	if from, ok := fields["from"]; ok {
		if r.Action != rules.Tag {
			return r, wrong(from, "from: only a tag is made from something")
		}
		if r.From, err = parseFrom(from); err != nil {
			return r, err
		}
	} else if r.Action == rules.Tag {
		return r, wrong(n, "tag: from is missing, such as from: {label: team}")
	}
	if level, ok := fields["cardinality"]; ok && makes {
		c, err := parseLevel(level)
		if err != nil {
			return r, err
		}
		r.Level = &c
	}
	if when, ok := fields["when"]; ok {
		r.When, err = parseWhen(when)
	}
	return r, err
}

func parseAction(r *rules.Rule, n *yaml.Node) (err error) {
	switch r.Action {
	case rules.Exclude, rules.Include:
		var ok bool
		if r.Purpose, ok = rules.ParsePurpose(n.Value); n.Kind != yaml.ScalarNode || !ok {
			return wrong(n, "%s: want containers, metrics or logs, have %s", r.Action, describe(n))
		}
	case rules.Tag, rules.Drop, rules.Keep:
		if r.Names, err = texts(n); err != nil {
			return within(err, r.Action.String())
		}
	case rules.Rename, rules.Cardinality:
		if n.Kind != yaml.MappingNode {
			return wrong(n, "%s: want a map, such as %s, have %s", r.Action,
				map[rules.Action]string{rules.Rename: "{kube_app_name: app}",
					rules.Cardinality: "{pod_name: low}"}[r.Action], describe(n))
		}
		err := eachKey(n, func(name string, value *yaml.Node) error {
			if r.Action == rules.Cardinality {
				level, err := parseLevel(value)
				if err != nil {
					return within(err, name)
				}
				r.Levels = append(r.Levels, rules.Leveling{Name: name, To: level})
				return nil
			}
			to, err := nodeText(value)
			if err != nil {
				return wrong(value, "%s: %v", name, err)
			}
			r.Renames = append(r.Renames, rules.Renaming{Name: name, To: to})
			return nil
		})
		if r.Action == rules.Rename {
			err = within(err, "rename")
		}
		return err
	}
	return nil
}

// within says what part of a rule a problem is about.
func within(err error, part string) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return &problem{p.line, fmt.Errorf("%s: %w", part, p.err)}
	}
	return fmt.Errorf("%s: %w", part, err)
}

func parseLevel(n *yaml.Node) (tagger.TagCardinality, error) {
	level, err := tagger.ParseCardinality(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || level == tagger.NoneCardinality {
		return 0, wrong(n, "cardinality: want low, orchestrator or high, have %s", describe(n))
	}
	return level, nil
}

func parseFrom(n *yaml.Node) (from rules.From, err error) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		key := resolve(n.Content[0]).Value
		field, _, _ := rules.ParseField(key + ".x")
		if from.Key, err = nodeText(n.Content[1]); err != nil {
			return from, wrong(n.Content[1], "from: %s: %v", key, err)
		}
		if from.Field = field; field.Keyed() {
			return from, nil
		}
	}
	return from, wrong(n, "from: want one of {label: key}, {annotation: key} and {env: name}")
}

func parseWhen(n *yaml.Node) (when []rules.Condition, err error) {
	if n.Kind != yaml.MappingNode {
		return nil, wrong(n, "when: want a map, such as {image: \"*/sidecar*\"}, have %s",
			describe(n))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		c := rules.Condition{}
		var ok bool
		if c.Field, c.Key, ok = rules.ParseField(key.Value); !ok {
			return nil, wrong(key, "when: unknown field %q (want %s)", key.Value,
				rules.FieldNames())
		}
		for _, other := range when {
			if other.Field == c.Field && other.Key == c.Key {
				return nil, wrong(key,
					"when: %s is there twice; for \"any of these\" give it a list", key.Value)
			}
		}
		if c.Patterns, err = texts(value); err != nil {
			return nil, within(err, "when: "+key.Value)
		}
		when = append(when, c)
	}
	return when, nil
}

// texts reads a text, or a list of texts.
func texts(n *yaml.Node) ([]string, error) {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		text, err := scalarText(n)
		if err != nil {
			return nil, err
		}
		return []string{text}, nil
	}
	list := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		text, err := scalarText(resolve(item))
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		return nil, wrong(n, "the list is empty")
	}
	return list, nil
}

// scalarText reads a text. Numbers and truth values count as they are written: labels have
// values such as true and 1.
func scalarText(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", wrong(n, "want text, have %s", describe(n))
	}
	return n.Value, nil
}
