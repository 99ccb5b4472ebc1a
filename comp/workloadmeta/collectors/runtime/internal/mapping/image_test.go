package mapping_test

import (
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

func TestResolveImage(t *testing.T) {
	id := "sha256:" + strings.Repeat("ab", 32)
	digest := "sha256:" + strings.Repeat("cd", 32)
	other := "sha256:" + strings.Repeat("ef", 32)
	info := func(tags, digests []string) *mapping.ImageNames {
		i := mapping.NewImageNames(id, tags, digests)
		return &i
	}
	for _, tc := range []struct {
		raw  string
		info *mapping.ImageNames
		want workloadmeta.ContainerImage
	}{
		{raw: "redis", want: workloadmeta.ContainerImage{Name: "redis", ShortName: "redis", Tag: "latest"}},
		{
			raw: "reg:5000/shop/cart:9", info: info([]string{"reg:5000/shop/cart:9"},
				[]string{"reg:5000/shop/cart@" + digest}),
			want: workloadmeta.ContainerImage{Name: "reg:5000/shop/cart", Registry: "reg:5000",
				ShortName: "cart", Tag: "9", RepoDigest: digest},
		},
		{
			raw: "b/app:1", info: info(nil, []string{"a/app@" + other, "b/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "b/app", ShortName: "app", Tag: "1",
				RepoDigest: digest},
		},
		{
			raw: "reg.io/x/app:1", info: info(nil,
				[]string{"a/app@" + other, "reg.io/y/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "reg.io/x/app", Registry: "reg.io",
				ShortName: "app", Tag: "1", RepoDigest: digest},
		},
		{
			raw: "reg.io/x/app:1@" + digest,
			want: workloadmeta.ContainerImage{Name: "reg.io/x/app", Registry: "reg.io",
				ShortName: "app", Tag: "1", RepoDigest: digest},
		},
		{
			raw:  "app@" + digest,
			want: workloadmeta.ContainerImage{Name: "app", ShortName: "app", RepoDigest: digest},
		},
		{
			raw: id, info: info([]string{"z:1", "b.io/z:1", "a:2", "<none>:<none>"}, nil),
			want: workloadmeta.ContainerImage{Name: "a", ShortName: "a", Tag: "2"},
		},
		{
			raw: "abababababab", info: info(nil, []string{"a/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "a/app", ShortName: "app", RepoDigest: digest},
		},
		{raw: id, info: info(nil, nil), want: workloadmeta.ContainerImage{Name: id}},
		{raw: id, want: workloadmeta.ContainerImage{Name: id}},
		{raw: "", want: workloadmeta.ContainerImage{Name: id}},
	} {
		tc.want.ID, tc.want.RawName = id, tc.raw
		if diff := cmp.Diff(tc.want, mapping.ResolveImage(id, tc.raw, tc.info)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.raw, diff)
		}
	}
}

// Runtimes put digests among an image's tags, and tags into its digests.
func TestImageNamesAreRegular(t *testing.T) {
	a, b := "sha256:"+strings.Repeat("ab", 32), "sha512:"+strings.Repeat("cd", 64)
	got := mapping.NewImageNames(a,
		[]string{"reg:5000/app@" + a, "app:1@" + a, "app:2", "<none>:<none>"},
		[]string{"app:16.04@" + a, "reg:5000/app:7@" + b, "app@" + a, "<none>@<none>"})
	want := mapping.ImageNames{ID: a, Tags: []string{"app:1", "app:2"},
		Digests: []string{"app@" + a, "reg:5000/app@" + a, "reg:5000/app@" + b}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c := mapping.ResolveImage(a, "reg:5000/app:7", &mapping.ImageNames{ID: a,
		Digests: []string{"reg:5000/app@" + b}})
	if c.RepoDigest != b {
		t.Errorf("digest of another algorithm: %q", c.RepoDigest)
	}
}

// Containers share what their image says, which goes with the last of them.
func TestSharedImage(t *testing.T) {
	decoded := func() workloadmeta.ContainerImage {
		return mapping.ResolveImage("sha256:"+strings.Repeat("ab", 32), strings.Clone("reg.io/app:1"),
			nil)
	}
	first, second := new(mapping.SharedImage), new(mapping.SharedImage)
	a, b := first.Set(decoded()), second.Set(decoded())
	if a != decoded() || b != decoded() {
		t.Fatalf("%+v, %+v; want %+v", a, b, decoded())
	}
	for _, s := range [][2]string{{a.ID, b.ID}, {a.RawName, b.RawName}, {a.Name, b.Name}} {
		if unsafe.StringData(s[0]) != unsafe.StringData(s[1]) {
			t.Errorf("%q is there twice", s[0])
		}
	}
	id := weak.Make(unsafe.StringData(a.ID))
	runtime.KeepAlive(first)
	a, b = workloadmeta.ContainerImage{}, workloadmeta.ContainerImage{}
	runtime.GC()
	runtime.GC()
	if third := new(mapping.SharedImage); unsafe.StringData(third.Set(decoded()).ID) != id.Value() {
		t.Error("a container that came later does not share what another still has")
	}
	runtime.KeepAlive(second)
	for deadline := time.Now().Add(time.Minute); id.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the image is kept without a container")
		}
	}
}
