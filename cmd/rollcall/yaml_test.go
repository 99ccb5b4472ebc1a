package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// old are the texts that are something else to readers of YAML 1.1, such as Ruby and PyYAML.
var old = regexp.MustCompile(`^(?i:y|yes|n|no|true|false|on|off|null|~|=|<<|` +
	`[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?0[0-7_]+|[-+]?0x[0-9a-f_]+|` +
	`[-+]?[0-9][0-9_,]*|[-+]?(\.inf)|\.nan|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})$`)

func TestTextsStayTextsInYAML(t *testing.T) {
	texts := []string{"yes", "off", "1:30", "k", "no", "=", "<<", "y", "N", "~", "null", "0x1F",
		"010", "1_000", "2001-01-01", ".inf", "1e3", "- a", "a: b", "#", "", " a", "a ",
		"two\nlines",
		"x\x7fy", "x\u0085y", "\ufeffx", "\ufffe", "a\rb", "\u2028", "\u202e", "\x00", "😀",
		strings.Repeat("k", 2000)}
	for _, text := range texts {
		checkYAML(t, map[string]any{"v": text, "list": []any{text}})
		checkYAML(t, map[string]any{text: "v"})
		n, err := yamlText(text)
		if err != nil {
			t.Fatal(err)
		}
		if old.MatchString(text) && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 {
			t.Errorf("%q is not quoted", text)
		}
	}
}

func TestAnythingAsYAML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkYAML(t, rapid.MapOf(rapid.String(), rapid.OneOf(rapid.String().AsAny(),
			rapid.Bool().AsAny(), rapid.SliceOf(rapid.StringMatching(`[ -~\n\t]{0,20}`)).AsAny(),
		)).Draw(t, "value"))
	})
}

// checkYAML checks that a value written as YAML is read as what JSON says.
func checkYAML(t interface {
	Helper()
	Fatalf(string, ...any)
}, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	text, err := toYAML(data)
	if err != nil {
		t.Fatalf("toYAML(%s): %v", data, err)
	}
	line, err := toYAMLLine(data)
	if err != nil || strings.Contains(line, "\n") {
		t.Fatalf("toYAMLLine(%s) = %q, %v", data, line, err)
	}
	var want, got any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatalf("%v", err)
	}
	for _, text := range []string{string(text), "{" + line + "}"} {
		if err := yaml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%q from %s: %v", text, data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q reads as %#v, want %#v", text, got, want)
		}
	}
}
