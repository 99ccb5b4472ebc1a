package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/pkg/similar"
)

// DefaultFile is read when nothing names another file, if it is there.
const DefaultFile = "/etc/rollcall/rollcall.yaml"

// Source is where a configuration comes from. The zero Source gives the defaults.
type Source struct {
	// File is the YAML file; "" = none. It is an error if it cannot be read.
	File string
	// Env is the environment, "NAME=value" each, as from [os.Environ].
	Env []string
	// Recorded are the options under which a recording was made, as [Loaded.Recorded] has returned
	// them, and RecordedIn is its name. They come after the file.
	Recorded   map[string]json.RawMessage
	RecordedIn string
	// Flags are options given on the command line: what the flag is called, and the
	// option's name and value.
	Flags []Flag
}

// Flag is an option given on the command line.
type Flag struct {
	Flag          string // "--docker-host", for error messages
	Option, Value string
}

// Loaded is a configuration and how it came to be.
type Loaded struct {
	Config
	schema  *Schema
	values  map[string]any // by option, of those that are set
	options []any          // of the collectors, in the schema's order, as their Specs made them
	// From says by option where its value is from: "rollcall.yaml:3", "ROLLCALL_DOCKER_HOST",
	// "--docker-host". Options with their default are not in it.
	From map[string]string
	// at says by option and item, or key, in which line of the file it is.
	at map[string]map[string]string
	// torn are the lists that were separated at blanks or commas.
	torn map[string]bool
	// Warnings are lines for people, such as a variable that looks like a misspelt option.
	Warnings []string
}

// Load puts the layers together. Its error is one line with everything that is wrong, separated
// by "; ".
func (s *Schema) Load(src Source) (*Loaded, error) {
	l := &loader{schema: s, out: &Loaded{schema: s, values: map[string]any{},
		From: map[string]string{}, at: map[string]map[string]string{}, torn: map[string]bool{}}}
	if src.File != "" {
		data, err := os.ReadFile(src.File)
		if err != nil {
			return nil, fmt.Errorf("read the configuration %s: %w", src.File, plain(err))
		}
		l.file(src.File, data)
	}
	l.recorded(src.RecordedIn, src.Recorded)
	l.env(src.Env)
	l.flags(src.Flags)
	if len(l.problems) > 0 {
		return nil, errors.New(strings.Join(l.problems, "; "))
	}
	l.out.fill()
	_, ignored := l.out.ruleList(l.out.At)
	l.out.Warnings = append(l.out.Warnings, ignored...)
	l.out.Warnings = append(l.out.Warnings, l.out.noTags()...)
	l.out.Warnings = append(l.out.Warnings, l.out.alike()...)
	return l.out, nil
}

// value returns what an option is. A program may have changed the Config since it was loaded.
func (l *Loaded) value(o *Option) any {
	if len(o.targets) > 0 && o.targets[0].owner == 0 {
		return reflect.ValueOf(&l.Config).Elem().FieldByIndex(o.targets[0].index).Interface()
	}
	return l.loaded(o)
}

// loaded returns what an option was set to, or its default.
func (l *Loaded) loaded(o *Option) any {
	if v, ok := l.values[o.Name]; ok {
		return v
	}
	return o.fallback
}

// fill sets the fields of the configuration and of the collectors' options.
func (l *Loaded) fill() {
	l.Config = Default()
	owners := []reflect.Value{reflect.ValueOf(&l.Config).Elem()}
	for _, c := range l.schema.collectors {
		options := c.Options()
		l.options = append(l.options, options)
		owners = append(owners, reflect.ValueOf(options).Elem())
		id := c.Describe().ID
		if v, ok := l.values["collectors."+id]; ok && v != collection.Auto {
			l.Collectors[id] = v.(collection.Switch)
		}
	}
	for _, o := range l.schema.options {
		v := l.loaded(o)
		for _, t := range o.targets {
			field := owners[t.owner].FieldByIndex(t.index)
			if t.is != "" {
				field.SetBool(fmt.Sprint(v) == t.is)
			} else {
				field.Set(reflect.ValueOf(v))
			}
		}
	}
	for i, c := range l.schema.collectors {
		c.Normalize(l.options[i])
	}
}

// noTags warns of what stands among the tags and is none.
func (l *Loaded) noTags() (warnings []string) {
	for _, list := range []struct {
		option string
		tags   []string
	}{{"tags", l.Tags}, {"extra_tags", l.ExtraTags}} {
		for i, tag := range list.tags {
			if name, value, ok := strings.Cut(tag, ":"); ok && name != "" && value != "" {
				continue
			}
			warning := fmt.Sprintf("%s %q (%s): it is no tag, name:value, and ignored", list.option,
				tag, l.At(list.option, tag))
			if i > 0 && l.torn[list.option] {
				warning += fmt.Sprintf("; if it belongs to %q, write a JSON array, "+
					"because blanks separate tags", list.tags[i-1])
			}
			warnings = append(warnings, warning)
		}
	}
	return warnings
}

// alike warns of keys of which only one can count, because case does not matter.
func (l *Loaded) alike() (warnings []string) {
	for _, o := range l.schema.options {
		m, ok := l.values[o.Name].(map[string]string)
		if !ok || len(o.targets) == 0 || o.targets[0].owner != 0 {
			continue
		}
		seen := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			lower := strings.ToLower(key)
			if first, ok := seen[lower]; ok {
				warnings = append(warnings, fmt.Sprintf("%s %q (%s) and %q (%s): case does not "+
					"matter, and one of them has no effect", o.Name, first, l.At(o.Name, first),
					key, l.At(o.Name, key)))
				continue
			}
			seen[lower] = key
		}
	}
	return warnings
}

// At says where an item of a list, or a key of a map, is written: as [Loaded.From] does,
// but in a file in its own line. Of an option with its default it is "default".
func (l *Loaded) At(option, item string) string {
	from, ok := l.From[option]
	if !ok {
		return "default"
	}
	if where, ok := l.at[option][item]; ok {
		return where
	}
	return from
}

// TagOptions is [Config.TagOptions] with rules that say where they are written.
func (l *Loaded) TagOptions(environ []string) extract.Options {
	options := l.Config.TagOptions(environ)
	options.Rules, _ = l.ruleList(l.At)
	options.Where = l.At
	return options
}

// plain takes the operation and the path off an error, which the caller names itself.
func plain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

type loader struct {
	schema   *Schema
	out      *Loaded
	problems []string
}

func (l *loader) wrong(where, format string, args ...any) {
	l.problems = append(l.problems, where+": "+fmt.Sprintf(format, args...))
}

// set makes v the option's value for this layer and those before it.
func (l *loader) set(o *Option, v any, where string) {
	if key, err := o.checkMapping(v); err != nil {
		l.wrong(where, "option %s: %s %q: %v", o.Name, o.part(), key, err)
		return
	}
	l.out.values[o.Name] = v
	l.out.From[o.Name] = where
	delete(l.out.at, o.Name)
	delete(l.out.torn, o.Name)
}

func (l *loader) file(name string, data []byte) {
	top, line, err := parseYAML(data)
	if err != nil {
		l.wrong(name+":"+line, "%v", err)
		return
	}
	if top == nil {
		return // empty
	}
	if top.Kind != yaml.MappingNode {
		if top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
			return
		}
		l.wrong(fmt.Sprintf("%s:%d", name, top.Line), "want options, \"name: value\" each, have %s",
			describe(top))
		return
	}
	l.group(name, "", top, map[string]int{})
}

// group reads the options of one mapping; prefix is the name it stands under, with a dot.
func (l *loader) group(file, prefix string, n *yaml.Node, seen map[string]int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		name := prefix + key.Value
		where := fmt.Sprintf("%s:%d", file, n.Content[i].Line)
		if key.Kind != yaml.ScalarNode {
			l.wrong(where, "want the name of an option, have %s", describe(key))
			continue
		}
		if first, ok := seen[name]; ok {
			l.wrong(where, "option %s is there twice, first in line %d", name, first)
			continue
		}
		seen[name] = n.Content[i].Line
		o, ok := l.schema.find(name)
		switch {
		case ok && value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null":
			// "option:" with nothing behind it, as left over from an example: the default
		case ok:
			l.value(where, file, o, value)
		case l.isGroup(name) && value.Kind == yaml.MappingNode:
			l.group(file, name+".", value, seen)
		case l.isGroup(name) && value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null":
		case l.isGroup(name):
			l.wrong(where, "option %s: want a map with %s, have %s", name,
				strings.Join(l.members(name), ", "), describe(value))
		default:
			l.wrong(where, "unknown option %s%s", name, l.didYouMean(name))
		}
	}
}

func (l *loader) value(where, file string, o *Option, n *yaml.Node) {
	if o.typ == typeRules {
		list, problems := parseRules(file, n)
		for _, p := range problems {
			l.wrong(fmt.Sprintf("%s:%d", file, p.line), "option %s: %v", o.Name, p.err)
		}
		l.set(o, list, where)
		return
	}
	v, err := o.fromNode(n)
	if err != nil {
		if p, ok := errors.AsType[*problem](err); ok {
			where = fmt.Sprintf("%s:%d", file, p.line)
		}
		l.wrong(where, "option %s: %v", o.Name, err)
		return
	}
	if key, err := o.checkMapping(v); err != nil {
		if at, ok := lines(file, n)[key]; ok {
			where = at
		}
		l.wrong(where, "option %s: %s %q: %v", o.Name, o.part(), key, err)
		return
	}
	l.set(o, v, where)
	l.out.at[o.Name] = lines(file, n)
}

// lines says by item of a list, or key of a map, in which line it is. Of several that are
// alike it is the first.
func lines(file string, n *yaml.Node) map[string]string {
	at := map[string]string{}
	note := func(n *yaml.Node) {
		if _, ok := at[n.Value]; !ok && n.Kind == yaml.ScalarNode {
			at[n.Value] = fmt.Sprintf("%s:%d", file, n.Line)
		}
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			note(resolve(item))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			note(resolve(n.Content[i]))
			for key, where := range lines(file, resolve(n.Content[i+1])) {
				if _, ok := at[key]; !ok {
					at[key] = where
				}
			}
		}
	}
	return at
}

// part is what one piece of the option's value is called.
func (o *Option) part() string {
	if o.typ == typeFilters {
		return "item"
	}
	return "key"
}

func (l *loader) isGroup(name string) bool { return len(l.members(name)) > 0 }

func (l *loader) members(group string) (names []string) {
	for _, o := range l.schema.options {
		if rest, ok := strings.CutPrefix(o.Name, group+"."); ok {
			names = append(names, rest)
		}
	}
	return names
}

// text sets an option to a value from where there are no lines, called name; what errors
// call it is where.
func (l *loader) text(where, name string, o *Option, text string) {
	text = unquoted(text)
	if o.typ == typeRules {
		list, err := ParseRules(name, []byte(text))
		if err != nil {
			l.wrong(where, "option %s: %v", o.Name, err)
			return
		}
		l.set(o, list, name)
		return
	}
	v, err := o.fromText(text)
	if err != nil {
		l.wrong(where, "option %s: %v", o.Name, err)
		return
	}
	l.set(o, v, name)
	l.out.torn[o.Name] = o.typ == typeList && !strings.HasPrefix(strings.TrimSpace(text), "[")
}

// unquoted takes quotes off that enclose the whole of a value: in a list of variables, as compose
// files have it, quotes are part of the value and never meant as such.
func unquoted(text string) string {
	trimmed := strings.TrimSpace(text)
	for _, quote := range []string{`"`, "'"} {
		inner, ok := strings.CutPrefix(trimmed, quote)
		if !ok {
			continue
		}
		if inner, ok = strings.CutSuffix(inner, quote); ok && !strings.Contains(inner, quote) {
			return inner
		}
	}
	return text
}

func (l *loader) env(environ []string) {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	known := map[string]bool{"ROLLCALL_CONFIG": true}
	for _, o := range l.schema.options {
		// The name of our own comes last, because what is set last wins.
		for _, name := range slices.Backward(o.Env) {
			known[name] = true
			text, ok := values[name]
			if !ok || text == "" {
				continue
			}
			l.text("environment variable "+name, name, o, text)
		}
	}
	// A variable that is no option may be anything: Kubernetes, for one, makes ROLLCALL_PORT for a
	// service called rollcall. What looks like a slip is worth a word.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !strings.HasPrefix(name, "ROLLCALL_") || known[name] {
			continue
		}
		if near := similar.Nearest(name, slices.Collect(maps.Keys(known)), 2); near != "" {
			l.out.Warnings = append(l.out.Warnings,
				fmt.Sprintf("environment variable %s is no option; did you mean %s?", name, near))
		}
	}
}

func (l *loader) flags(flags []Flag) {
	for _, f := range flags {
		o, ok := l.schema.find(f.Option)
		if !ok {
			l.wrong(f.Flag, "unknown option %s%s", f.Option, l.didYouMean(f.Option))
			continue
		}
		l.text(f.Flag, f.Flag, o, f.Value)
	}
}

func (l *loader) didYouMean(name string) string {
	names := make([]string, 0, len(l.schema.options))
	for _, o := range l.schema.options {
		names = append(names, o.Name)
	}
	if near := similar.Nearest(name, names, max(2, len(name)/4)); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; docs/configuration.md and \"rollcall config --example\" list what there is"
}
