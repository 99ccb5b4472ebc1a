// Package deps guards what each package may import: everything flows downwards, the
// interface packages cost an embedder nothing, and nobody links a client library that
// they did not ask for. A failure says which import, and why it is not wanted.
package deps_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rollcall-dev/rollcall/"

// rule says what a package may import directly. In all lists, a name that ends in a
// slash stands for everything below it.
type rule struct {
	pkg string
	// own are packages of this module.
	own []string
	// others are packages of other modules beside the standard library; nil = none, "/" = any.
	others []string
}

const (
	vocabulary = "comp/workloadmeta"
	tagger     = "comp/tagger"
	collection = "comp/workloadmeta/collection"
	fx         = "go.uber.org/fx"
)

// The layers, from the bottom. The most specific rule counts. A package without a rule is
// a failure: decide where it belongs.
var rules = []rule{
	// Small and pure; not even each other.
	{"pkg/", nil, nil},
	{"pkg/env", nil, []string{"github.com/gobwas/glob"}},
	{"pkg/gpu", []string{"pkg/cdi"}, nil},
	{"pkg/proclang", nil, []string{"github.com/hashicorp/golang-lru/v2"}},
	{"pkg/statebus", []string{"pkg/singlewriter"}, nil},
	{"pkg/tagset", []string{"pkg/singlewriter"}, nil},

	// What an embedder can name for nothing.
	{vocabulary, nil, nil},
	{tagger, []string{"pkg/tagset"}, nil},

	// What users say of it, over the vocabularies alone: how it is written is comp/config's.
	{"comp/rules", []string{vocabulary, tagger, "pkg/image", "pkg/template"}, []string{"github.com/gobwas/glob"}},

	// From the sources to the store.
	{"comp/workloadmeta/store", []string{vocabulary, "pkg/singlewriter", "pkg/statebus"}, []string{fx}},
	{"comp/workloadmeta/recording", []string{vocabulary}, nil},
	{collection, []string{vocabulary, "pkg/env"}, []string{
		"github.com/cenkalti/backoff/v5", "github.com/prometheus/client_golang/prometheus",
		"golang.org/x/time/rate", fx}},
	{"comp/workloadmeta/collectors/", []string{vocabulary, collection, "comp/workloadmeta/recording", "comp/workloadmeta/collectors/", "pkg/"}, []string{"/"}},
	{"comp/workloadmeta/collectortest", []string{vocabulary, collection, "comp/workloadmeta/"}, []string{"/"}},
	{"comp/tagger/taggertest", []string{"comp/", "pkg/"}, []string{"/"}},
	{"comp/workloadmeta/collectors/remote", []string{vocabulary, collection, "comp/api/", "pkg/"}, []string{"/"}},

	// From the store to the tags. The tagger knows the store by its interface only.
	{"comp/tagger/extract", []string{tagger, vocabulary, "comp/rules", "pkg/"}, []string{"github.com/gobwas/glob"}},
	{"comp/tagger/tagstore", []string{tagger, "pkg/singlewriter", "pkg/statebus", "pkg/tagset"}, nil},
	{"comp/origin", []string{tagger, vocabulary, "pkg/"}, nil},
	{"comp/tagger/local", []string{tagger, "comp/origin", "comp/tagger/extract", "comp/tagger/tagstore", "comp/rules", vocabulary, "pkg/"}, []string{fx}},
	{"comp/tagger/remote", []string{tagger, "comp/tagger/tagstore", "comp/api/", "pkg/"}, []string{"/"}},

	// What looks at all of it from above.
	{"comp/config",
		[]string{tagger, "comp/tagger/extract", "comp/rules", vocabulary, collection,
			"pkg/"}, []string{
			"go.yaml.in/yaml/v3"}},
	{"comp/rbac", []string{"comp/config", collection}, []string{"go.yaml.in/yaml/v3"}},
	{"comp/catalog", []string{collection, "comp/workloadmeta/collectors/"}, nil},
	{"comp/inspect",
		[]string{vocabulary, tagger, "comp/tagger/extract", "comp/tagger/local", "comp/rules",
			"comp/workloadmeta/store", collection, "comp/workloadmeta/recording",
			"comp/workloadmeta/collectors/replay", "pkg/selector", "pkg/similar"},
		[]string{"github.com/gobwas/glob"}},
	{"comp/agent", []string{"comp/config", "comp/inspect", tagger, "comp/tagger/local",
		"comp/tagger/tagstore", "comp/telemetry", vocabulary, collection,
		"comp/workloadmeta/store"},
		[]string{fx, "github.com/prometheus/client_golang/prometheus"}},
	{"comp/telemetry",
		[]string{"comp/tagger/local", "comp/tagger/tagstore", "comp/workloadmeta/store", collection,
			"pkg/statebus"}, []string{
			"github.com/prometheus/client_golang/", fx}},
	{"comp/api/", []string{tagger, vocabulary, collection, "comp/workloadmeta/recording", "comp/api/", "pkg/"}, []string{"/"}},
	{"cmd/", []string{"comp/", "pkg/", "cmd/"}, []string{"/"}},
	{"test/", []string{"comp/", "pkg/", "test/"}, []string{"/"}},
}

func matches(pattern, pkg string) bool {
	switch {
	case pattern == "/":
		return true
	case strings.HasSuffix(pattern, "/"):
		return strings.HasPrefix(pkg+"/", pattern)
	}
	return pattern == pkg
}

func ruleFor(pkg string) (best rule, ok bool) {
	for _, r := range rules {
		if matches(r.pkg, pkg) && len(r.pkg) >= len(best.pkg) {
			best, ok = r, true
		}
	}
	return best, ok
}

func allows(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, pkg) })
}

// listed is what "go list" says about a package. Test files do not count.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

// list returns the packages of this module, by name without the module, and whether a
// package that they need is of the standard library.
func list(t *testing.T) (own map[string]listed, standard map[string]bool) {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Error",
		"./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	own, standard = map[string]listed{}, map[string]bool{"C": true}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(p.ImportPath, module); ok {
			own[name] = p
		}
		standard[p.ImportPath] = p.Standard
	}
	if len(own) < 15 {
		t.Fatalf("go list shows only %d packages of this module", len(own))
	}
	return own, standard
}

func TestEverythingFlowsDownwards(t *testing.T) {
	own, standard := list(t)
	for name, p := range own {
		r, ok := ruleFor(name)
		if !ok {
			t.Errorf(
				"%s has no rule; decide which layer it belongs to and add it to the table in this file", name)
			continue
		}
		for _, imported := range p.Imports {
			inner, ours := strings.CutPrefix(imported, module)
			switch {
			case standard[imported]:
			case ours && !allows(r.own, inner):
				t.Errorf("%s imports %s, which is not below it (of this module it may import %q)",
					name, inner, r.own)
			case !ours && !allows(r.others, imported):
				t.Errorf("%s imports %s; of other modules it may import %q", name, imported,
					r.others)
			}
		}
	}
}

// What nobody gets linked without asking for it: the whole tree below a package counts.
func TestYouLinkWhatYouImport(t *testing.T) {
	clients := []string{"github.com/docker/", "github.com/moby/", "github.com/containerd/",
		"k8s.io/", "sigs.k8s.io/",
		"github.com/aws/", "google.golang.org/grpc/", "connectrpc.com/", "github.com/spf13/"}
	kubernetes := []string{"k8s.io/client-go/", "k8s.io/api/", "k8s.io/apimachinery/",
		"k8s.io/kubernetes/"}
	own, standard := list(t)
	for _, c := range []struct {
		pkg       string
		forbidden []string // nil = everything but the standard library and this module
		reason    string
	}{
		{vocabulary, nil, "a program must be able to name these types for nothing"},
		{tagger, nil, "a program must be able to name these types for nothing"},
		{"comp/workloadmeta/store", clients, "the store links no collector's client library"},
		{collection, clients, "the supervisor runs collectors without linking any"},
		{"comp/workloadmeta/recording", nil, "a recording can be read anywhere"},
		{"comp/rules", clients, "rules are about our own types"},
		{"comp/tagger/extract", clients, "tags are made from our own types"},
		{"comp/tagger/tagstore", clients, "tags are stored without knowing where they come from"},
		{"comp/tagger/local", clients, "the tagger knows the store only"},
		{"comp/telemetry", clients, "metrics are of our own parts"},
		{"comp/workloadmeta/collectors/runtime/docker", kubernetes, "plain Docker is first class, with no Kubernetes code linked"},
		{"comp/workloadmeta/collectors/runtime/podman", kubernetes, "plain Podman is first class, with no Kubernetes code linked"},
		{"comp/workloadmeta/collectors/runtime/containerd", kubernetes, "plain containerd is first class, with no Kubernetes code linked"},
		{"comp/workloadmeta/collectors/runtime/cri", kubernetes, "the runtime interface needs its own small API package only"},
		{"comp/workloadmeta/collectors/ecs", kubernetes, "ECS is first class, with no Kubernetes code linked"},
		{"comp/workloadmeta/collectors/cloudfoundry", kubernetes, "Cloud Foundry has no Kubernetes"},
		{"comp/workloadmeta/collectors/kubernetes/internal/object", []string{"k8s.io/"}, "Kubernetes' objects are decoded into our own small types"},
		{"comp/workloadmeta/collectors/kubernetes/internal/podmap", []string{"k8s.io/client-go/", "k8s.io/api/"}, "pods are mapped without a client, from our own small types"},
		{"comp/workloadmeta/collectors/kubernetes/internal/kubeapi", []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/informers", "k8s.io/client-go/tools/cache"}, "objects are decoded into our own small types; of client-go only the connection is used"},
		{"comp/workloadmeta/collectors/process", kubernetes, "processes are read from /proc"},
		{"comp/workloadmeta/collectors/host", clients, "the host's tags come from the configuration"},
		{"comp/workloadmeta/collectors/replay", clients, "a recording is replayed without what was recorded"},
	} {
		p, ok := own[c.pkg]
		if !ok {
			continue // not written yet
		}
		for _, dep := range p.Deps {
			if standard[dep] || strings.HasPrefix(dep, module) {
				continue
			}
			if c.forbidden == nil || allows(c.forbidden, dep) {
				t.Errorf("%s links %s: %s", c.pkg, dep, c.reason)
			}
		}
	}
}

// Helpers of tests define flags and link package testing. Imports of test files do not count here,
// and helpers may use each other.
func TestOnlyTestsImportTheirHelpers(t *testing.T) {
	helpers := []string{"comp/workloadmeta/collectortest", "comp/tagger/taggertest", "test/scripts"}
	own, _ := list(t)
	for name, p := range own {
		for _, helper := range helpers {
			if slices.Contains(p.Imports, module+helper) && !slices.Contains(helpers, name) {
				t.Errorf("%s imports %s, which is for tests", name, helper)
			}
		}
		if links := "github.com/rogpeppe/go-internal/testscript"; slices.Contains(p.Deps, links) &&
			!slices.Contains(helpers, name) {
			t.Errorf("%s links %s, which is for tests", name, links)
		}
	}
	for _, helper := range helpers {
		if _, ok := own[helper]; !ok {
			t.Errorf("%s is not there", helper)
		}
	}
}

// The table itself: a typing mistake in it must not switch a check off.
func TestRulesAreAboutPackagesThatCanBe(t *testing.T) {
	for _, r := range rules {
		for _, pattern := range append([]string{r.pkg}, r.own...) {
			top, _, _ := strings.Cut(pattern, "/")
			if !slices.Contains([]string{"pkg", "comp", "cmd", "test"}, top) {
				t.Errorf("the rule for %s names %q, which is no folder of this module", r.pkg,
					pattern)
			}
		}
	}
	for _, c := range []struct{ pkg, want string }{
		{"comp/workloadmeta", vocabulary}, {"comp/workloadmeta/collectors/runtime/docker", "comp/workloadmeta/collectors/"},
		{"comp/workloadmeta/collectors/remote", "comp/workloadmeta/collectors/remote"}, {"pkg/env", "pkg/env"}, {"pkg/x", "pkg/"},
	} {
		if r, _ := ruleFor(c.pkg); r.pkg != c.want {
			t.Errorf("the rule for %s is that for %q, want %q", c.pkg, r.pkg, c.want)
		}
	}
	if _, ok := ruleFor("comp/unheard-of"); ok {
		t.Error("a package that nobody has thought of has a rule")
	}
}
