package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Schema is what may be configured in a program: the options of rollcall itself, and those of the
// collectors that the program links. It does not change.
type Schema struct {
	collectors []collection.AnySpec
	options    []*Option // in the order of the documentation
}

// NewSchema returns the schema of a program with these collectors, whose options are read off
// their Specs. A Spec that makes no sense is its author's mistake, and panics.
func NewSchema(collectors []collection.AnySpec) *Schema {
	s := &Schema{collectors: slices.Clone(collectors)}
	s.addOwn()
	var fields [][]field // by collector
	for i, c := range collectors {
		s.addSwitch(c, i == 0)
		fields = append(fields, fieldsOf(reflect.TypeOf(c.Options()).Elem(), nil))
	}
	for i, c := range collectors {
		for _, f := range fields[i] {
			if f.doc != "" {
				s.declare(c, f)
			}
		}
	}
	for i, c := range collectors {
		for _, f := range fields[i] {
			s.bind(c, i+1, f)
		}
	}
	return s
}

// Options lists all options in the order of the documentation. The caller owns the slice.
func (s *Schema) Options() []Option {
	out := make([]Option, len(s.options))
	for i, o := range s.options {
		out[i] = *o
	}
	return out
}

// Collectors are the Specs that the schema was made of. The caller must not write to them.
func (s *Schema) Collectors() []collection.AnySpec { return s.collectors }

func (s *Schema) find(name string) (*Option, bool) {
	for _, o := range s.options {
		if o.Name == name {
			return o, true
		}
	}
	return nil, false
}

// add adds an option, of which the name, meaning, type and default are known.
func (s *Schema) add(o Option, datadog bool) {
	upper := strings.ToUpper(strings.ReplaceAll(o.Name, ".", "_"))
	o.Env = []string{"ROLLCALL_" + upper}
	if datadog {
		o.Env = append(o.Env, "DD_"+upper)
	}
	o.Type, o.Default = typeName(o.typ), inline(o.fallback)
	if o.unit != "" {
		o.Type += " of " + o.unit
	}
	s.options = append(s.options, &o)
}

// addOwn adds the options that are no collector's.
func (s *Schema) addOwn() {
	fields := map[string]field{}
	for _, f := range fieldsOf(reflect.TypeFor[Config](), nil) {
		fields[f.name] = f
	}
	defaults := reflect.ValueOf(Default())
	for _, e := range entries {
		f, ok := fields[e.name]
		if !ok {
			panic(fmt.Sprintf("config: Config has no field for the option %q", e.name))
		}
		s.add(Option{Name: e.name, Doc: e.doc, Flag: f.flag(e.name), typ: f.typ,
			fallback: defaults.FieldByIndex(f.index).Interface(),
			targets:  []target{{index: f.index}}}, e.datadog)
	}
}

// addSwitch adds the option that switches a collector on and off.
func (s *Schema) addSwitch(c collection.AnySpec, first bool) {
	about, on := c.Documentation()
	id := c.Describe().ID
	if id == "" || about == "" {
		panic(fmt.Sprintf("config: the Spec of a collector (%T) has no ID or says nothing about it",
			c))
	}
	doc := "Whether " + about + " are collected"
	if first {
		doc += ": auto (if there is something to collect), on (its absence is an error), off"
	}
	if doc += "."; on != "" {
		doc += " With on, " + on + "."
	}
	if _, ok := s.find("collectors." + id); ok {
		panic(fmt.Sprintf("config: two collectors have the ID %q", id))
	}
	s.add(Option{Name: "collectors." + id, Doc: doc, typ: typeSwitch, fallback: collection.Auto},
		false)
}

// declare adds the option that a field of a collector's options declares. Several may declare one
// option, in the same words.
func (s *Schema) declare(c collection.AnySpec, f field) {
	name := f.optionOf(c)
	fallback, err := Option{typ: f.typ}.parse(f.fallback)
	if err != nil {
		panic(fmt.Sprintf("config: collector %s: default of %s: %v", c.Describe().ID, name, err))
	}
	if o, ok := s.find(name); ok {
		if o.Doc != f.doc || o.typ != f.typ || !reflect.DeepEqual(o.fallback, fallback) {
			panic(fmt.Sprintf(
				"config: collector %s: option %s is declared already, with another meaning, type or default",
				c.Describe().ID, name))
		}
		return
	}
	s.add(Option{Name: name, Doc: f.doc, Flag: f.flag(name), typ: f.typ, unit: f.unit,
		fallback: fallback}, slices.Contains(f.flags, "datadog"))
}

// bind makes a field of a collector's options one that its option sets. A field may name an option
// of a collector that this program does not link: it keeps its zero value.
func (s *Schema) bind(c collection.AnySpec, owner int, f field) {
	name := f.optionOf(c)
	o, ok := s.find(name)
	if !ok {
		return
	}
	t := target{owner: owner, index: f.index, address: slices.Contains(f.flags, "address")}
	for _, flag := range f.flags {
		if value, ok := strings.CutPrefix(flag, "is="); ok {
			t.is = value
		}
		if variable, ok := strings.CutPrefix(flag, "env="); ok {
			t.env = variable
		}
	}
	if want := o.typ; t.is == "" && f.typ != want || t.is != "" && f.typ.Kind() != reflect.Bool {
		panic(fmt.Sprintf("config: collector %s: a field for option %s is %s; the option is %s",
			c.Describe().ID, name, f.typ, want))
	}
	o.targets = append(o.targets, t)
}

// field is a field of a struct with options.
type field struct {
	name     string // as its tag has it
	typ      reflect.Type
	index    []int
	flags    []string
	doc      string // "": the option is declared elsewhere
	fallback string // "": the zero value
	unit     string
}

// flag returns the flag of the command line for an option that the field declares, "" if it has
// none.
func (f field) flag(option string) string {
	if !slices.Contains(f.flags, "flag") {
		return ""
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(option)
}

// optionOf returns the name of the option that the field of a collector's options is about.
func (f field) optionOf(c collection.AnySpec) string {
	if global, ok := strings.CutPrefix(f.name, "/"); ok {
		return global
	}
	return c.Describe().ID + "." + f.name
}

// fieldsOf returns the fields of a struct that have to do with options.
func fieldsOf(t reflect.Type, at []int) (fields []field) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("config")
		if !ok || tag == "-" {
			continue
		}
		name, flags, _ := strings.Cut(tag, ",")
		f := field{name: name, typ: sf.Type, index: append(slices.Clone(at), i),
			flags: strings.Split(flags, ","), doc: sf.Tag.Get("doc"),
			fallback: sf.Tag.Get("default"), unit: sf.Tag.Get("unit")}
		inner := sf.Tag.Get("field")
		switch {
		case slices.Contains(f.flags, "squash"):
			fields = append(fields, fieldsOf(sf.Type, f.index)...)
		case inner != "":
			member, ok := sf.Type.FieldByName(inner)
			if !ok {
				panic(fmt.Sprintf("config: %s has no field %s", sf.Type, inner))
			}
			f.typ, f.index = member.Type, append(f.index, member.Index...)
			fields = append(fields, f)
		case sf.Type.Kind() == reflect.Struct:
			for _, m := range fieldsOf(sf.Type, f.index) {
				m.name = name + "." + m.name
				fields = append(fields, m)
			}
		default:
			fields = append(fields, f)
		}
	}
	return fields
}
