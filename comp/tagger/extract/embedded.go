package extract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// tagList adds the tags of a label with a JSON array of "name:value". They are always
// high. An item that is no string, or has not exactly one colon, is skipped; text that
// is no JSON array adds nothing.
func tagList(b *builder, field, text string) {
	items, err := parseTagList(text)
	if err != nil {
		b.problem(field, err)
		return
	}
	for i, item := range items {
		tag, ok := item.(string)
		if !ok {
			b.problem(field, fmt.Errorf("item %d is not a string", i+1))
			continue
		}
		name, value, _ := strings.Cut(tag, ":")
		if strings.Count(tag, ":") != 1 || name == "" || value == "" {
			b.problem(field,
				fmt.Errorf("item %d: %q is not <name>:<value> with one colon", i+1, tag))
			continue
		}
		b.addNamed(ruleLabelTags, "", name, value, tagger.HighCardinality)
	}
}

func parseTagList(text string) (items []any, err error) {
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		return nil, fmt.Errorf("want a JSON array of strings: %w", err)
	}
	return items, nil
}

// tagObject adds the tags of an annotation with a JSON object: name → value or array
// of values. A leading "+" in a name means high cardinality. Text that is no JSON
// object adds nothing.
//
// Before that, template variables in the text are resolved; if one cannot be, the text
// is taken as it is.
func tagObject(b *builder, r rule, key, field, text string, resolve resolver) {
	resolved, err := resolve.text(text)
	if err != nil {
		b.problem(field, err)
		resolved = text
	}
	members, err := parseTagObject(resolved)
	if err != nil {
		b.problem(field, err)
		return
	}
	for name, value := range members {
		tag, level := rules.SplitLevel(name)
		switch value := value.(type) {
		case []any:
			for i, item := range value {
				switch item.(type) {
				case nil, []any, map[string]any:
					b.problem(field,
						fmt.Errorf("member %q: item %d is not a string, number or boolean", name,
							i+1))
					continue
				}
				b.addNamed(r, key, tag, fmt.Sprint(item), level)
			}
		case nil, map[string]any:
			b.problem(field,
				fmt.Errorf("member %q is not a string, number, boolean or array", name))
		default:
			b.addNamed(r, key, tag, fmt.Sprint(value), level)
		}
	}
}

// parseTagObject parses a JSON object. Numbers stay as they are written, because a tag
// is text: 12345678 must not become 1.2345678e+07.
func parseTagObject(text string) (map[string]any, error) {
	if text == "" {
		return nil, errors.New("empty: want a JSON object of tag names and values")
	}
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return nil, fmt.Errorf("want a JSON object of tag names and values: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf(
			"want a JSON object of tag names and values: text after it, at byte %d",
			d.InputOffset())
	}
	return members, nil
}
