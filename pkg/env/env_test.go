package env_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/env"
)

func newFilter(t testing.TB, extra ...string) *env.Filter {
	t.Helper()
	f, err := env.NewFilter(extra...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestBuiltin(t *testing.T) {
	f := newFilter(t)
	for _, name := range strings.Fields(`
		DD_ENV DD_SERVICE DD_VERSION DD_GIT_COMMIT_SHA DD_GIT_REPOSITORY_URL DOCKER_DD_AGENT
		CHRONOS_JOB_NAME CHRONOS_JOB_OWNER MESOS_TASK_ID MARATHON_APP_ID
		NOMAD_DC NOMAD_GROUP_NAME NOMAD_JOB_NAME NOMAD_NAMESPACE NOMAD_TASK_NAME
		ECS_CONTAINER_METADATA_URI ECS_CONTAINER_METADATA_URI_V4 OTEL_RESOURCE_ATTRIBUTES
		OTEL_SERVICE_NAME NVIDIA_VISIBLE_DEVICES`) {
		for _, spelling := range []string{name, strings.ToLower(name)} {
			if !f.Allowed(spelling) {
				t.Errorf("Allowed(%q) = false", spelling)
			}
		}
	}
	for _, name := range []string{"", "PATH", "DD_API_KEY", "DD_ENV ", "XDD_ENV", "DD_ENVX",
		"AWS_SECRET_ACCESS_KEY"} {
		if f.Allowed(name) {
			t.Errorf("Allowed(%q) = true", name)
		}
	}
}

func TestExtraNames(t *testing.T) {
	tests := []struct {
		extra   string
		allowed []string
		denied  []string
	}{
		{"Team", []string{"team", "TEAM"}, []string{"TEAMS"}},
		{"app_*", []string{"APP_", "app_name", "App_a/b.c"}, []string{"APP", "MYAPP_X"}},
		{"*", []string{"ANYTHING", "a/b"}, []string{""}},
		{"te?m*", []string{"team", "TERM_X"}, []string{"tem"}},
		{"{team,squad}*", []string{"TEAM", "Squad_x"}, []string{"MYTEAM"}},
		{"x[a-c]*", []string{"XA", "xb_1"}, []string{"XD"}},
		{"te?m", []string{"te?m"}, []string{"team"}},
		{"{a,b}", []string{"{a,b}"}, []string{"a"}},
		{"[x", []string{"[X"}, nil},
	}
	for _, tt := range tests {
		f := newFilter(t, tt.extra)
		for _, name := range tt.allowed {
			if !f.Allowed(name) {
				t.Errorf("with %q: Allowed(%q) = false", tt.extra, name)
			}
		}
		for _, name := range tt.denied {
			if f.Allowed(name) {
				t.Errorf("with %q: Allowed(%q) = true", tt.extra, name)
			}
		}
	}
}

func TestInvalidNames(t *testing.T) {
	f, err := env.NewFilter("fine", "[x*", "a=b", "", "{y*")
	if err == nil || f != nil {
		t.Fatalf("NewFilter = %v, %v; want an error", f, err)
	}
	for _, want := range []string{`"[x*"`, `"a=b"`, `""`, `"{y*"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine") {
		t.Errorf("error %q names a good one", err)
	}
}

func TestFilter(t *testing.T) {
	f := newFilter(t, "team")
	got := f.Filter([]string{
		"PATH=/bin", "DD_ENV=prod", "dd_service=a=b", "broken", "", "=x", "Team=", "DD_ENV=dev",
		"SECRET=DD_ENV=x",
	})
	want := map[string]string{"DD_ENV": "dev", "dd_service": "a=b", "Team": ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Filter = %v; want %v", got, want)
	}
	for _, entries := range [][]string{nil, {}, {"PATH=/bin"}, {"DD_ENV"}} {
		if got := f.Filter(entries); got != nil {
			t.Errorf("Filter(%q) = %v; want nil", entries, got)
		}
	}
}

func ExampleFilter_Filter() {
	f, err := env.NewFilter("APP_*")
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Filter([]string{"DD_ENV=prod", "APP_TIER=web", "DB_PASSWORD=hunter2"}))
	// Output: map[APP_TIER:web DD_ENV:prod]
}

// FuzzFilter checks that only allowed variables come through, unchanged, and
// that no extra name crashes the filter.
func FuzzFilter(f *testing.F) {
	f.Add("app_*", "APP_X=1\nDD_ENV=prod\nbroken\n=y")
	f.Add("{a,b}*[!c-d]?", "a=b=c")
	f.Add("[*", "\\*\\")
	f.Fuzz(func(t *testing.T, extra, entries string) {
		filter, err := env.NewFilter(extra)
		if err != nil {
			if !strings.Contains(err.Error(), fmt.Sprintf("%q", extra)) {
				t.Fatalf("error %q does not name %q", err, extra)
			}
			filter = newFilter(t)
		}
		list := strings.Split(entries, "\n")
		got := filter.Filter(list)
		if got != nil && len(got) == 0 {
			t.Fatal("empty instead of nil")
		}
		for name, value := range got {
			found := false
			for _, e := range list {
				found = found || e == name+"="+value
			}
			if !found || !filter.Allowed(name) || strings.Contains(name, "=") {
				t.Fatalf("%q with %q gives %q=%q", list, extra, name, value)
			}
		}
		for _, e := range list {
			if name, _, ok := strings.Cut(e, "="); ok && filter.Allowed(name) {
				if _, ok := got[name]; !ok {
					t.Fatalf("%q with %q loses %q", list, extra, e)
				}
			}
		}
	})
}
