package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// parse reads a default of a field's tag; "" is the zero value.
func (o Option) parse(text string) (any, error) {
	if text == "" {
		return reflect.Zero(o.typ).Interface(), nil
	}
	return o.fromText(text)
}

// fromText reads a value as it stands in the environment or on the command line: maps as JSON
// objects, lists as JSON arrays or separated by commas or blanks.
func (o Option) fromText(text string) (any, error) {
	switch o.typ {
	case typeList:
		if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") {
			var list []string
			if err := json.Unmarshal([]byte(trimmed), &list); err != nil {
				return nil, errors.New("want a JSON array of texts, or texts separated by commas")
			}
			return list, nil
		}
		list := strings.FieldsFunc(text,
			func(r rune) bool { return strings.ContainsRune(", \n\r\t", r) })
		for i, item := range list {
			list[i] = unquoted(item)
		}
		return list, nil
	case typeFilters:
		if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") {
			var list Filters
			if err := json.Unmarshal([]byte(trimmed), &list); err != nil {
				return nil, errors.New("want a JSON array of texts, or texts separated by blanks")
			}
			return list, nil
		}
		return Filters(strings.Fields(text)), nil
	case typeMap:
		var m map[string]string
		if err := fromJSON(text, &m); err != nil {
			return nil, err.or(`want a JSON object with texts, such as {"app":"kube_app"}`)
		}
		return m, nil
	case typeMaps:
		return mapsFromJSON(text)
	}
	return o.scalar(text)
}

func mapsFromJSON(text string) (any, error) {
	m := map[string]map[string]string{}
	if strings.TrimSpace(text) == "" {
		return m, nil
	}
	if err := fromJSON(text, &m); err != nil {
		return nil, err.or(`want JSON such as {"deployments.apps":{"team":"team"}}`)
	}
	return m, nil
}

// doubleKey is a key that is in one JSON object twice, "" if the text is no JSON at all.
type doubleKey string

// or returns the error: what is wanted, unless a key is at fault.
func (k *doubleKey) or(wanted string) error {
	if *k == "" {
		return errors.New(wanted)
	}
	return fmt.Errorf("key %q is there twice", string(*k))
}

// fromJSON reads an object of which, other than for package json, no key may be there twice.
func fromJSON(text string, into any) *doubleKey {
	if json.Unmarshal([]byte(text), into) != nil {
		return new(doubleKey)
	}
	var open []map[string]bool // the keys so far, of each object that is not over; nil: an array
	name := false              // the next token is a key
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		token, err := dec.Token()
		if err != nil {
			return nil // the end
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			name = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if keys := open[max(0, len(open)-1):]; name && len(keys) > 0 {
				if keys[0][token] {
					return (*doubleKey)(&token)
				}
				keys[0][token] = true
				name = false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}

// maxDuration is more than anybody means, and far from what a Duration or a date cannot hold.
const maxDuration = 100 * 365 * 24 * time.Hour

// scalar reads a value that is no list and no map.
func (o Option) scalar(text string) (any, error) {
	switch o.typ {
	case typeDuration:
		d, err := time.ParseDuration(text)
		if seconds, nerr := strconv.ParseFloat(text, 64); nerr == nil || math.IsInf(seconds, 0) {
			if err = nil; seconds != seconds {
				err = strconv.ErrSyntax // not a number
			}
			// Beyond these it would not fit into a Duration.
			d = time.Duration(max(-1, min(seconds, maxDuration.Seconds()+1)) * float64(time.Second))
		}
		if err != nil {
			return nil, fmt.Errorf("want a duration such as 30s or 5m, have %q", text)
		}
		if d > maxDuration {
			return nil, fmt.Errorf("want a duration of at most %s (100 years), have %q",
				duration(maxDuration), text)
		}
		if d < 0 {
			return nil, fmt.Errorf("want a duration that is not negative, have %q", text)
		}
		return d, nil
	case typeSwitch:
		var s collection.Switch
		if err := s.UnmarshalText([]byte(text)); err != nil || text == "" {
			return nil, fmt.Errorf("want auto, on or off, have %q", text)
		}
		return s, nil
	case typeAgent:
		switch agent := collection.Agent(text); agent {
		case collection.Node, collection.Cluster, collection.Remote:
			return agent, nil
		}
		return nil, fmt.Errorf("want node, cluster or remote, have %q", text)
	case typeCardinality:
		c, err := tagger.ParseCardinality(text)
		if err != nil || c == tagger.NoneCardinality {
			return nil, fmt.Errorf("want low, orchestrator or high, have %q", text)
		}
		return c, nil
	}
	switch o.typ.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return nil, fmt.Errorf("want true or false, have %q", text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("want a number, have %q", text)
		}
		if n < 0 {
			return nil, fmt.Errorf("want a number that is not negative, have %q", text)
		}
		return n, nil
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("want a number, have %q", text)
		}
		if x < 0 {
			return nil, fmt.Errorf("want a number that is not negative, have %q", text)
		}
		return x, nil
	}
	return text, nil
}

// problem is what is wrong with a value in a file, and where.
type problem struct {
	line int
	err  error
}

func (p *problem) Error() string { return p.err.Error() }

func wrong(n *yaml.Node, format string, args ...any) error {
	return &problem{n.Line, fmt.Errorf(format, args...)}
}

// fromNode reads a value as it stands in a file.
func (o Option) fromNode(n *yaml.Node) (any, error) {
	n = resolve(n)
	switch o.typ {
	case typeFilters:
		v, err := Option{typ: typeList}.fromNode(n)
		if err != nil {
			return nil, err
		}
		return Filters(v.([]string)), nil
	case typeList:
		if n.Kind != yaml.SequenceNode {
			return nil, wrong(n, "want a list of texts, have %s", describe(n))
		}
		list := make([]string, 0, len(n.Content))
		for i, item := range n.Content {
			text, err := nodeText(item)
			if err != nil {
				return nil, wrong(item, "item %d: %v%s", i+1, err, hint(item))
			}
			list = append(list, text)
		}
		return list, nil
	case typeMap:
		return textMap(n)
	case typeMaps:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
			m, err := mapsFromJSON(n.Value)
			if err != nil {
				return nil, wrong(n, "%v", err)
			}
			return m, nil
		}
		if n.Kind != yaml.MappingNode {
			return nil, wrong(n, "want a map of maps or a text with JSON, have %s", describe(n))
		}
		m := map[string]map[string]string{}
		return m, eachKey(n, func(key string, value *yaml.Node) error {
			inner, err := textMap(value)
			if err != nil {
				return within(err, fmt.Sprintf("key %q", key))
			}
			m[key] = inner
			return nil
		})
	}
	if n.Kind != yaml.ScalarNode {
		return nil, wrong(n, "want %s, have %s", typeName(o.typ), describe(n))
	}
	tag := n.ShortTag()
	switch {
	case o.typ.Kind() == reflect.String && tag != "!!str",
		o.typ.Kind() == reflect.Bool && tag != "!!bool" && !oldBool(n):
		return nil, wrong(n, "want %s, have %s", typeName(o.typ), describe(n))
	}
	v, err := o.scalar(n.Value)
	if err != nil {
		return nil, wrong(n, "%v", err)
	}
	return v, nil
}

// oldBool reports whether the node is one of the words that were booleans in YAML 1.1.
func oldBool(n *yaml.Node) bool {
	switch strings.ToLower(n.Value) {
	case "yes", "no", "on", "off":
		return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0
	}
	return false
}

func textMap(n *yaml.Node) (map[string]string, error) {
	if n.Kind != yaml.MappingNode {
		return nil, wrong(n, "want a map, text to text, have %s", describe(n))
	}
	m := map[string]string{}
	return m, eachKey(n, func(key string, value *yaml.Node) error {
		text, err := nodeText(value)
		if err != nil {
			return wrong(value, "key %q: %v", key, err)
		}
		m[key] = text
		return nil
	})
}

// eachKey calls do for each key of a mapping until it fails. No key may be there twice.
func eachKey(n *yaml.Node, do func(key string, value *yaml.Node) error) error {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if key.Kind != yaml.ScalarNode {
			return wrong(n.Content[i], "want a text as key, have %s", describe(key))
		}
		if first, ok := lines[key.Value]; ok {
			return wrong(n.Content[i], "key %q is there twice, first in line %d", key.Value, first)
		}
		lines[key.Value] = n.Content[i].Line
		if err := do(key.Value, resolve(n.Content[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// parseYAML returns the only document of a file, nil if there is none. In an error, line is where
// it is.
func parseYAML(data []byte) (top *yaml.Node, line string, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, "", nil
	case err != nil:
		line, text := yamlError(err)
		return nil, line, errors.New("not valid YAML: " + text)
	}
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		line, text := yamlError(err)
		return nil, line, errors.New("not valid YAML: " + text)
	default:
		return nil, strconv.Itoa(more.Line),
			errors.New("a second document begins; want one, without --- between")
	}
	if len(doc.Content) == 0 {
		return nil, "", nil
	}
	return resolve(doc.Content[0]), "", nil
}

func nodeText(n *yaml.Node) (string, error) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", fmt.Errorf("want text, have %s", describe(n))
	}
	return n.Value, nil
}

// hint helps who has written "- env: prod" where "- env:prod" was meant.
func hint(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[1].Kind == yaml.ScalarNode {
		return fmt.Sprintf(" (for the tag %s:%s leave out the blank)", n.Content[0].Value,
			n.Content[1].Value)
	}
	return ""
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	}
	return fmt.Sprintf("the text %q", n.Value)
}

// checkMapping finds what the tag rules cannot work with, such as globs that do not compile. It
// returns the key at fault, if one is.
func (o *Option) checkMapping(v any) (key string, err error) {
	if f, ok := v.(Filters); ok {
		for _, item := range f {
			if _, _, err := rules.ParseFilter(item); err != nil {
				return item, err
			}
		}
		return "", nil
	}
	if len(o.targets) == 0 || o.targets[0].owner != 0 ||
		o.typ != typeMap && o.typ != typeMaps {
		return "", nil // no rule for tags
	}
	var c Config
	reflect.ValueOf(&c).Elem().FieldByIndex(o.targets[0].index).Set(reflect.ValueOf(v))
	_, err = extract.New(c.Options)
	if wrong, ok := errors.AsType[*extract.KeyError](err); ok {
		return wrong.Key, wrong.Err
	}
	return "", err
}
