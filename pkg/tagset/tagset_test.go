package tagset_test

import (
	"cmp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

func TestCompareIsByNameThenByValue(t *testing.T) {
	tag := rapid.StringOf(rapid.RuneFrom([]rune("ab:-. _z~é")))
	rapid.Check(t, func(t *rapid.T) {
		a, b := tag.Draw(t, "a"), tag.Draw(t, "b")
		an, av, _ := strings.Cut(a, ":")
		bn, bv, _ := strings.Cut(b, ":")
		// A bare name comes before the same name with an empty value.
		want := cmp.Or(cmp.Compare(an, bn),
			cmp.Compare(strings.Count(a[:min(len(an)+1, len(a))], ":"),
				strings.Count(b[:min(len(bn)+1, len(b))], ":")), cmp.Compare(av, bv))
		if got := tagset.Compare(a, b); got != want {
			t.Fatalf("Compare(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}

func TestSortAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SliceOf(rapid.StringMatching(`[a-c]{1,2}(:[a-c:]{0,2})?`)).Draw(t, "tags")
		want := slices.SortedStableFunc(slices.Values(tags), tagset.Compare)
		tagset.Sort(tags)
		if !slices.Equal(tags, want) {
			t.Fatalf("Sort = %q, want %q", tags, want)
		}
	})
}

func TestLevelsAreCumulative(t *testing.T) {
	tags := tagset.New([]string{"b:2", "a:1"}, []string{"o:1"}, []string{"h:1", "a:9"})
	if got, want := tags.Slice(), []string{"a:1", "b:2", "o:1", "a:9", "h:1"}; !slices.Equal(got,
		want) {
		t.Fatalf("Slice() = %q, want %q", got, want)
	}
	if v, ok := tags.Get("o"); v != "1" || !ok {
		t.Fatalf(`Get("o") = %q, %v`, v, ok)
	}
	if _, ok := tags.Get("x"); ok {
		t.Fatal("found a tag that is not there")
	}
	var zero tagset.Tags
	if zero.Len() != 0 || zero.Slice() != nil || zero.Hash() != "" {
		t.Fatal("the zero Tags is not empty")
	}
}

// An append by one reader is not seen by another, nor in the set.
func TestLevelsCanBeAppendedTo(t *testing.T) {
	room := func(tags ...string) []string { return append(make([]string, 0, 16), tags...) }
	for name, low := range map[string]*tagset.List{
		"a list":          tagset.ListOf(room("a", "b")),
		"an interned one": tagset.NewInterner().List(room("a", "b")),
	} {
		set := tagset.MakeSet(low, room("o", "p", "x", "y"), 2)
		want := set.High().Slice()
		for i := range 3 {
			level := func() []string {
				low, orchestrator, high := set.Levels()
				return [][]string{low, orchestrator, high}[i]
			}
			first := append(level(), "first")
			_ = append(level(), "second")
			if got := first[len(first)-1]; got != "first" {
				t.Errorf("%s, level %d: what one reader appended is %q to it", name, i, got)
			}
		}
		if got := set.High().Slice(); !slices.Equal(got, want) {
			t.Errorf("%s: the set shows %q, want %q", name, got, want)
		}
	}
}

func TestEqualComparesWhatIsShown(t *testing.T) {
	var zero tagset.Tags
	ab := tagset.New([]string{"a", "b"}, nil, nil)
	for _, c := range []struct {
		a, b tagset.Tags
		want bool
	}{
		{ab, ab, true},
		{ab, tagset.New([]string{"a", "b"}, nil, nil), true},
		{ab, tagset.New([]string{"a"}, []string{"b"}, nil), true}, // levels do not show
		{ab, tagset.New(nil, []string{"a"}, []string{"b"}), true},
		{ab, tagset.New([]string{"a"}, nil, nil), false},
		{ab, tagset.New([]string{"a", "c"}, nil, nil), false},
		{ab, tagset.New([]string{"a"}, nil, []string{"c"}), false},
		{zero, zero, true},
		{zero, tagset.New(nil, nil, nil), true},
		{zero, ab, false},
	} {
		if c.a.Equal(c.b) != c.want || c.b.Equal(c.a) != c.want {
			t.Errorf("Equal(%q, %q) is not %v", c.a.Slice(), c.b.Slice(), c.want)
		}
	}
}

func TestHashIgnoresOrder(t *testing.T) {
	a, b := []string{"service:cart", "env:prod"}, []string{"env:prod", "service:cart"}
	if tagset.Hash(a) != tagset.Hash(b) || tagset.Hash(a) == tagset.Hash(a[:1]) {
		t.Fatal("the hash depends on the order, or not on the tags")
	}
	if a[0] != "service:cart" {
		t.Fatal("Hash sorted its argument")
	}
	if got, want := tagset.Hash([]string{"env:prod"}), "af3337274ea50bd7"; got != want {
		t.Fatalf("Hash = %s, want %s", got, want)
	}
}

func TestInternerGivesBackAPeak(t *testing.T) {
	heap := func() int {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	const n = 50_000
	in := tagset.NewInterner()
	before := heap()
	lists := make([]*tagset.List, n)
	for i := range n {
		lists[i] = in.List([]string{"a:" + strconv.Itoa(i)})
	}
	for _, l := range lists {
		in.Release(l)
	}
	clear(lists)
	if kept := heap() - before - 8*n; kept > 100_000 {
		t.Errorf("%d bytes are kept of %d lists that are gone", kept, n)
	}
	runtime.KeepAlive(in)
	runtime.KeepAlive(lists)
}

func TestInternerSharesAndForgets(t *testing.T) {
	in := tagset.NewInterner()
	a := in.List([]string{"a:1", "b:2"})
	b := in.List([]string{"a:1", "b:2"})
	c := in.List([]string{"a:1"})
	if a != b || a == c {
		t.Fatal("equal lists are not one, or different lists are")
	}
	if lists, strings := in.Len(); lists != 2 || strings != 2 {
		t.Fatalf("Len() = %d, %d; want 2, 2", lists, strings)
	}
	in.Release(a)
	if lists, _ := in.Len(); lists != 2 {
		t.Fatal("a list with a reference left was forgotten")
	}
	in.Release(b)
	in.Release(c)
	if lists, strings := in.Len(); lists != 0 || strings != 0 {
		t.Fatalf("after the last release: %d lists, %d strings", lists, strings)
	}
	if !slices.Equal(a.Tags(), []string{"a:1", "b:2"}) {
		t.Fatal("a released list changed")
	}
}
