package rules_test

import (
	"slices"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
)

// BenchmarkWhy asks the rules that are always there about a container of a pod.
func BenchmarkWhy(b *testing.B) {
	s := compile(b, slices.Concat(rules.PodAnnotations(), rules.Pause())...)
	c := container()
	pod := podOf(c)
	b.ReportAllocs()
	for b.Loop() {
		s.Why(c, pod, rules.Everything)
	}
}
