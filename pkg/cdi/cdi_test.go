package cdi_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/cdi"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]cdi.Name{
		"nvidia.com/gpu=0":                {"nvidia.com", "gpu", "0"},
		"nvidia.com/gpu=0:1":              {"nvidia.com", "gpu", "0:1"},
		"nvidia.com/gpu=all":              {"nvidia.com", "gpu", "all"},
		"nvidia.com/gpu=GPU-0a1b-2c":      {"nvidia.com", "gpu", "GPU-0a1b-2c"},
		"k8s.gpu.nvidia.com/claim=0a-g_0": {"k8s.gpu.nvidia.com", "claim", "0a-g_0"},
		"intel.com/gpu=0000:03:00.0-0x56": {"intel.com", "gpu", "0000:03:00.0-0x56"},
	} {
		if got, ok := cdi.Parse(text); !ok || got != want || got.String() != text {
			t.Errorf("Parse(%q) = %+v, %t; want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "/dev/nvidia0", "nvidia.com/gpu", "nvidia.com=0", "gpu=0",
		"nvidia.com/gpu=", "/gpu=0", "nvidia.com/=0", "9vidia.com/gpu=0", "nvidia.com./gpu=0",
		"nvidia.com/gpu=-0", "nvidia.com/gpu=0-", "nvidia.com/gpu=a b", "nvidia.com/gpu/x=0",
		"nvidia.com/gpu=a=b", "/dev/dri=/dev/dri:rwm"} {
		if got, ok := cdi.Parse(text); ok {
			t.Errorf("Parse(%q) = %+v, want none", text, got)
		}
	}
}

func TestFromAnnotations(t *testing.T) {
	got := cdi.FromAnnotations(map[string]string{
		"cdi.k8s.io/b_1":   "nvidia.com/gpu=1,nvidia.com/gpu=0",
		"cdi.k8s.io/a":     "example.org/nic=nic-a, nvidia.com/gpu=0,,nonsense",
		"example.org/nics": "example.org/nic=nic-b",
	})
	want := []cdi.Name{{"example.org", "nic", "nic-a"}, {"nvidia.com", "gpu", "0"},
		{"nvidia.com", "gpu", "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("FromAnnotations() = %+v, want %+v", got, want)
	}
	many := map[string]string{"cdi.k8s.io/x": strings.Repeat("a.b/c=d,", 9)}
	for i := range 5000 {
		many["cdi.k8s.io/x"] += "a.b/c=" + strings.Repeat("x", i%100+1) + string(rune('a'+i/100%26)) + ","
	}
	if n := len(cdi.FromAnnotations(many)); n > 1024 {
		t.Errorf("%d names", n)
	}
}

// FuzzParse: a name that is one is written as it was read, in any list.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"nvidia.com/gpu=0", "k8s.gpu.nvidia.com/claim=a:0", "a/b=c", "/=",
		"x.y/z=a,x.y/z=b", "/dev/fuse"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := cdi.Parse(text)
		if !ok {
			return
		}
		if n.String() != text || strings.ContainsAny(text, ", \t\n\x00") {
			t.Fatalf("Parse(%q) = %+v", text, n)
		}
		all := cdi.FromAnnotations(map[string]string{cdi.AnnotationPrefix + "p": text + "," + text})
		if len(all) != 1 || all[0] != n {
			t.Fatalf("FromAnnotations(%q twice) = %+v", text, all)
		}
	})
}
