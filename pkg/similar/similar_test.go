package similar_test

import (
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/similar"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1},
		{"abc", "ab", 1}, {"servcie", "service", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3},
	} {
		if got := similar.Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := similar.Distance(c.b, c.a); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"service", "Env", "eny", "version"}
	for name, want := range map[string]string{"servcie": "service", "env": "Env", "enx": "Env",
		"team": "", "": ""} {
		if got := similar.Nearest(name, names, 2); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	} // The nearest counts, not the first in the alphabet, nor the one that begins alike.
	for name, want := range map[string]string{"kube_nod": "kube_node", "tbg": "tag",
		"tags": "tags"} {
		if got := similar.Nearest(name,
			[]string{"aag", "kube_mod", "kube_node", "tag", "tags", "bag"},
			3); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
