package tagger_test

import (
	"context"
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

// To a Nop every entity is unknown, and an empty ID is no entity.
func TestNopKnowsNothing(t *testing.T) {
	var nop tagger.Nop
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for id, want := range map[tagger.EntityID]error{"": tagger.ErrEmptyEntityID,
		tagger.Container("c1"): tagger.ErrUnknown} {
		_, tag := nop.Tag(id, tagger.HighCardinality)
		_, tags := nop.Tags(id, tagger.HighCardinality)
		_, standard := nop.Standard(id)
		_, entity := nop.GetEntity(id)
		for _, err := range []error{tag, tags, standard, entity} {
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", id, err, want)
			}
		}
		_, known, err := nop.TagWithCompleteness(id, tagger.HighCardinality)
		if id != "" {
			want = nil // which is no error there
		}
		if known != tagger.Unknown || !errors.Is(err, want) {
			t.Errorf("%q is %s, %v; want %v", id, known, err, want)
		}
		if id != "" {
			want = context.Canceled
		}
		if _, known, err := nop.TagWait(ended, id, tagger.HighCardinality,
			tagger.Partial); known != tagger.Unknown || !errors.Is(err, want) {
			t.Errorf("waited for %q: %s, %v; want %v", id, known, err, want)
		}
	}
}

func TestDefaultIsWhatWasSet(t *testing.T) {
	if _, ok := tagger.Default().(tagger.Nop); !ok {
		t.Errorf("before SetDefault it is a %T", tagger.Default())
	}
	mine := struct{ tagger.Nop }{}
	tagger.SetDefault(mine)
	defer tagger.SetDefault(tagger.Nop{})
	if tagger.Default() != tagger.Component(mine) {
		t.Errorf("after SetDefault it is a %T", tagger.Default())
	}
}

func TestAnInfoIsEmptyWithoutAnyTags(t *testing.T) {
	if !(&tagger.TagInfo{Source: "a", Entity: "b", IsComplete: true}).Empty() {
		t.Error("an info without tags is not empty")
	}
	for _, info := range []tagger.TagInfo{{LowCardTags: []string{"a:b"}},
		{OrchestratorCardTags: []string{"a:b"}}, {HighCardTags: []string{"a:b"}},
		{StandardTags: []string{"a:b"}}} {
		if info.Empty() {
			t.Errorf("%+v is empty", info)
		}
	}
}

func TestKindsOfServicesHaveNames(t *testing.T) {
	for kind, want := range map[tagger.ServiceKind]string{0: "invalid",
		tagger.ServiceContainer: "container", tagger.ServiceSNMP: "snmp",
		tagger.ServiceSNMP + 1: "invalid", 200: "invalid"} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", uint8(kind), got, want)
		}
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
