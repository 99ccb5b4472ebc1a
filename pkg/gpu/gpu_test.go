package gpu_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

func TestTypeFromDeviceName(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Tesla T4", "t4"},
		{"NVIDIA A100-SXM4-80GB", "a100"},
		{"NVIDIA GeForce RTX 3090", "rtx_3090"},
		{"NVIDIA RTX PRO 6000 Blackwell", "rtx_pro_6000"},
		{"NVIDIA H100 80GB HBM3", "h100"},
		{"AMD Instinct MI300X", ""},
		{"", ""},
		{"  nvidia - geforce GTX 1080 Ti ", "gtx"},
		{"NVIDIA", ""},
		{"NVIDIA RTX", "rtx"},
		{"NVIDIA RTX PRO", "rtx_pro"},
		{"NVIDIA GeForce", "geforce"},
		{"MyNVIDIA A100", ""},
	}
	for _, tt := range tests {
		if got := gpu.TypeFromDeviceName(tt.in); got != tt.want {
			t.Errorf("TypeFromDeviceName(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestVendorFromResourceName(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"nvidia.com/gpu", "nvidia", true},
		{"nvidia.com/mig-3g.20gb", "nvidia", true},
		{"amd.com/gpu", "amd", true},
		{"gpu.intel.com/xe", "intel", true},
		{"gpu.intel.com/i915", "intel", true},
		{"cpu", "", false},
		{"nvidia.com/gpu.shared", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got, ok := gpu.VendorFromResourceName(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("VendorFromResourceName(%q) = %q, %v; want %q, %v", tt.in, got, ok, tt.want,
				tt.ok)
		}
	}
}

// FuzzTypeFromDeviceName checks that a model is always a clean tag value.
func FuzzTypeFromDeviceName(f *testing.F) {
	for _, s := range []string{"Tesla T4", "NVIDIA RTX PRO 6000", "nvidia geforce", "",
		"NVIDIA \u212a100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := gpu.TypeFromDeviceName(s)
		if strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" ||
			strings.Trim(got, "_") != got || strings.Contains(got, "__") {
			t.Fatalf("TypeFromDeviceName(%q) = %q", s, got)
		}
		if again := gpu.TypeFromDeviceName(strings.ToUpper("nvidia " + got)); got != "" &&
			again != got {
			t.Fatalf("TypeFromDeviceName(%q) = %q, which reads back as %q", s, got, again)
		}
		_, _ = gpu.VendorFromResourceName(s)
	})
}
