package tagger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

func TestParseCardinality(t *testing.T) {
	for _, c := range []struct {
		in   string
		want tagger.TagCardinality
		ok   bool
	}{
		{"low", tagger.LowCardinality, true},
		{"LOW", tagger.LowCardinality, true},
		{"orch", tagger.OrchestratorCardinality, true},
		{"Orchestrator", tagger.OrchestratorCardinality, true},
		{"high", tagger.HighCardinality, true},
		{"None", tagger.NoneCardinality, true},
		{"", tagger.LowCardinality, false},
		{"medium", tagger.LowCardinality, false},
	} {
		got, err := tagger.ParseCardinality(c.in)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("ParseCardinality(%q) = %v, %v; want %v, ok %v", c.in, got, err, c.want, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), `"`+c.in+`"`) {
			t.Errorf("ParseCardinality(%q): the error does not name the text: %v", c.in, err)
		}
		if again, err := tagger.ParseCardinality(got.String()); again != got || err != nil {
			t.Errorf("ParseCardinality(%v.String()) = %v, %v", got, again, err)
		}
	}
	if got := tagger.TagCardinality(200).String(); got != "unknown" {
		t.Errorf("TagCardinality(200).String() = %q, want unknown", got)
	}
}

func TestParseEntityIDNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"container_id:3f0c":  `no "://"`,
		"pod://3f0c":         `unknown prefix "pod"`,
		"container_id://":    `nothing after "://"`,
		"CONTAINER_ID://abc": `unknown prefix "CONTAINER_ID"`,
	} {
		if got, err := tagger.ParseEntityID(text); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("ParseEntityID(%q) = %q, %v; want an error with %q", text, got, err, want)
		}
	}
	if _, err := tagger.ParseEntityID(""); !errors.Is(err, tagger.ErrEmptyEntityID) {
		t.Errorf("ParseEntityID(\"\") error = %v, want ErrEmptyEntityID", err)
	}
}

func TestEmptyIDNamesNothing(t *testing.T) {
	if got := tagger.Container(""); got != "" {
		t.Errorf(`Container("") = %q, want ""`, got)
	}
	if got := tagger.KubernetesPod(""); got != "" {
		t.Errorf(`KubernetesPod("") = %q, want ""`, got)
	}
}

func FuzzParseEntityID(f *testing.F) {
	f.Add("container_id://3f0c")
	f.Add("kubernetes_metadata:///namespaces//shop")
	f.Add("internal://global-entity-id")
	f.Add("a://b://c")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := tagger.ParseEntityID(text)
		if err != nil {
			return
		}
		if string(id) != text {
			t.Fatalf("ParseEntityID(%q) = %q", text, id)
		}
		if again := tagger.NewEntityID(id.Prefix(), id.ID()); again != id {
			t.Fatalf("NewEntityID(%q, %q) = %q, want %q", id.Prefix(), id.ID(), again, id)
		}
	})
}
