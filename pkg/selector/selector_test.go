package selector_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/rollcall-dev/rollcall/pkg/selector"
)

func TestSelectors(t *testing.T) {
	cart := map[string]string{"app": "cart", "tier": "web", "empty": "", "in": "x"}
	for text, want := range map[string]bool{
		"":                              true,
		"app":                           true,
		"!app":                          false,
		"! canary":                      true,
		"app=cart":                      true,
		"app == cart":                   true,
		"app=web":                       false,
		"app!=web":                      true,
		"canary!=yes":                   true,
		"app=cart,tier=web":             true,
		"app=cart , tier=db":            false,
		"tier in (web, edge)":           true,
		"tier in (db)":                  false,
		"tier notin (db,edge)":          true,
		"canary notin (yes)":            true,
		"tier notin (web)":              false,
		"empty=":                        true,
		"empty in (,x)":                 true,
		"empty in ()":                   true,
		"app=":                          false,
		"in":                            true,
		"in in (in,x)":                  true,
		"app=cart,!canary,tier in(web)": true,
	} {
		s, err := selector.Parse(text)
		if err != nil || s.Matches(cart) != want {
			t.Errorf("%q: %v, %v; want %v", text, s.Matches(cart), err, want)
		}
		if s.Empty() != (text == "") {
			t.Errorf("%q: Empty() = %v", text, s.Empty())
		}
	}
	for text, want := range map[string]string{
		"app=cart,":    "want a label after the comma, have the end",
		"app cart":     `after "app": want =, ==, !=, in or notin, have "cart"`,
		"=cart":        `want a label, have "="`,
		"app in cart":  `want "(", have "cart"`,
		"app in (a b)": `want "," or ")", have "b"`,
		"app in (a":    `want "," or ")", have the end`,
		"!app=cart":    `want "," or the end, have "="`,
		"size>3":       `have ">"`,
		"app=(cart)":   `want "," or the end, have "("`,
	} {
		if _, err := selector.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Kubernetes' own parser is what people have learnt from: what it takes means the same here.
func FuzzSelector(f *testing.F) {
	for _, text := range []string{"app=cart", "a==b,c!=d", "x in (a,b),y notin (c,)", "!x", "x=,y",
		"in in (in)", "notin", "a in()", "a in(,)", "a,!b , c = d", "x in (a,,b)", "=", "x=!", "é=1"} {
		f.Add(text)
	}
	samples := []labels.Set{{}, {"a": "b"}, {"x": "a", "y": "c"}, {"x": "", "in": "in"},
		{"app": "cart", "notin": "b", "a": ""}, {"a": "d", "b": "d", "c": "d"}}
	f.Fuzz(func(t *testing.T, text string) {
		ours, err := selector.Parse(text)
		theirs, theirErr := labels.Parse(text)
		if theirErr != nil || strings.ContainsAny(text, "<>\x00") {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v, and Kubernetes takes it", text, err)
		}
		for _, sample := range samples {
			if got, want := ours.Matches(sample), theirs.Matches(sample); got != want {
				t.Fatalf("%q matches %v: %v, Kubernetes says %v", text, sample, got, want)
			}
		}
	})
}
