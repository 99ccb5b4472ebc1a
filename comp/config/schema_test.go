package config_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// all has an option of every type, shared ones, and fields that follow others' options.
type all struct {
	Inner struct{ Limit time.Duration } `field:"Limit" config:"limit" default:"3s" doc:"Limit."`

	Text    string            `config:"text,address,flag,env=A_TEXT" default:"x" doc:"Text."`
	Yes     bool              `config:"yes" default:"true" doc:"Yes."`
	Count   int               `config:"count" default:"7" unit:"pieces" doc:"Count."`
	Rate    float64           `config:"rate" default:"1.5" doc:"Rate."`
	List    []string          `config:"list" default:"a b" doc:"List."`
	Map     map[string]string `config:"map" doc:"Map."`
	Shared  string            `config:"/shared_text,datadog" doc:"Shared."`
	No      bool              `config:"yes,is=false"`
	On      bool              `config:"/collectors.b,is=on"`
	NoImage bool              `config:"/container_image.enabled,is=false"`
	Foreign string            `config:"/of.nobody"`
	Own     string            // no option
}

func spec[O any](id string) collection.AnySpec {
	return collection.Spec[O]{
		Description: workloadmeta.Description{ID: id, Source: "x"}, About: "things of " + id,
		Make: func(O, collection.Deps) ([]workloadmeta.Collector, error) { return nil, nil },
	}
}

func TestOptionsAreReadOffSpecs(t *testing.T) {
	type other struct {
		Shared string `config:"/shared_text,datadog" doc:"Shared."`
	}
	schema := config.NewSchema([]collection.AnySpec{spec[all]("a"), spec[other]("b")})
	var names []string
	for _, o := range schema.Options() {
		if strings.HasPrefix(o.Name, "a.") || o.Name == "shared_text" ||
			strings.HasPrefix(o.Name, "collectors.") {
			names = append(names,
				fmt.Sprint(o.Name, " ", o.Type, " ", o.Default, " ", o.Env, o.Flag))
		}
	}
	want := []string{
		"collectors.a auto, on or off auto [ROLLCALL_COLLECTORS_A]",
		"collectors.b auto, on or off auto [ROLLCALL_COLLECTORS_B]",
		"a.limit duration 3s [ROLLCALL_A_LIMIT]", `a.text text "x" [ROLLCALL_A_TEXT]a-text`,
		"a.yes true or false true [ROLLCALL_A_YES]",
		"a.count number of pieces 7 [ROLLCALL_A_COUNT]", "a.rate number 1.5 [ROLLCALL_A_RATE]",
		`a.list list of texts ["a","b"] [ROLLCALL_A_LIST]`,
		"a.map map: text to text {} [ROLLCALL_A_MAP]",
		`shared_text text "" [ROLLCALL_SHARED_TEXT DD_SHARED_TEXT]`,
	}
	if !slices.Equal(names, want) {
		t.Errorf("options\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	of := func(env ...string) (*all, *other) {
		l, err := schema.Load(config.Source{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		return l.CollectorOptions("a").(*all), l.CollectorOptions("b").(*other)
	}
	a, _ := of()
	if a.Inner.Limit != 3*time.Second || a.Text != "x" || !a.Yes || a.No || a.Count != 7 ||
		a.Rate != 1.5 || len(a.List) != 2 || a.On || a.NoImage || a.Foreign != "" {
		t.Errorf("by default %+v", a)
	}
	a, b := of("ROLLCALL_A_LIMIT=1", "ROLLCALL_A_YES=no", "ROLLCALL_A_RATE=0.5",
		`ROLLCALL_A_MAP={"k":"v"}`, "DD_SHARED_TEXT=s", "ROLLCALL_COLLECTORS_B=on",
		"DD_CONTAINER_IMAGE_ENABLED=false")
	if a.Inner.Limit != time.Second || a.Yes || !a.No || a.Rate != 0.5 || a.Map["k"] != "v" ||
		a.Shared != "s" || b.Shared != "s" || !a.On || !a.NoImage {
		t.Errorf("as set %+v, %+v", a, b)
	}
}

// A variable that a collector reads itself names its source, unless the collector is off.
func TestTheEnvironmentNamesASource(t *testing.T) {
	schema := config.NewSchema([]collection.AnySpec{spec[all]("a"), spec[struct{}]("b")})
	for env, want := range map[string]bool{"A_TEXT=x": true, "A_TEXT=": false, "B_TEXT=x": false} {
		for sw, on := range map[string]bool{"auto": true, "off": false} {
			l, err := schema.Load(config.Source{Env: []string{"ROLLCALL_COLLECTORS_A=" + sw}})
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Named([]string{"PATH=/", env}); got["a"] != (want && on) || got["b"] {
				t.Errorf("%s with collectors.a=%s: %v", env, sw, got)
			}
		}
	}
}

// What makes no sense in a Spec is its author's mistake, and is noticed at once.
func TestSpecsThatMakeNoSense(t *testing.T) {
	type badDefault struct {
		N int `config:"n" default:"many" doc:"N."`
	}
	type badType struct {
		N chan int `config:"n" doc:"N."`
	}
	type otherDoc struct {
		Shared string `config:"/shared_text" doc:"Something else."`
	}
	type otherType struct {
		Tags string `config:"/tags"`
	}
	type noField struct {
		Inner struct{} `field:"Limit" config:"limit" doc:"Limit."`
	}
	for want, specs := range map[string][]collection.AnySpec{
		"default of a.n":                  {spec[badDefault]("a")},
		"no name for the type chan int":   {spec[badType]("a")},
		"declared already":                {spec[all]("a"), spec[otherDoc]("b")},
		"a field for option tags":         {spec[otherType]("a")},
		"has no field Limit":              {spec[noField]("a")},
		`two collectors have the ID "a"`:  {spec[all]("a"), spec[all]("a")},
		"has no ID or says nothing about": {spec[all]("")},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			config.NewSchema(specs)
		}()
	}
}

// The rank of each collector is in the guide.
func TestRanksAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/collectors.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	for _, c := range schema().Collectors() {
		d := c.Describe()
		if line := fmt.Sprintf("| `%s` | %d |", d.ID, d.Rank); d.Rank != 0 &&
			!strings.Contains(guide, line) {
			t.Errorf("docs/collectors.md lacks %s", line)
		}
	}
}
