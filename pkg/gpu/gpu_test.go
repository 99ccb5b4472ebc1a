package gpu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/cdi"
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

func TestVisibleDevices(t *testing.T) {
	for value, want := range map[string][]string{
		"":                          nil,
		"none":                      nil,
		"void":                      nil,
		"all":                       {"all"},
		"0":                         {"0"},
		"0,1, 0":                    {"0", "1"},
		"0:1,2":                     {"0:1", "2"},
		"GPU-0a1b,all":              {"all"},
		"GPU-0a1b,GPU-2c3d,":        {"GPU-0a1b", "GPU-2c3d"},
		"MIG-5e6f,MIG-GPU-0a1b/7/0": {"MIG-5e6f", "MIG-GPU-0a1b/7/0"},
		"nvidia.com/gpu=all":        {"all"},
		"nvidia.com/gpu=0:1,amd.com/gpu=0,example.org/nic=a": {"0:1"},
		"/var/run/nvidia-container-devices":                  nil,
	} {
		if got := gpu.VisibleDevices(value); !slices.Equal(got, want) {
			t.Errorf("VisibleDevices(%q) = %q, want %q", value, got, want)
		}
	}
	if n := len(gpu.VisibleDevices(strings.Repeat("a,b,", 5000) + func() (s string) {
		for i := range 5000 {
			s += fmt.Sprint(i, ",")
		}
		return s
	}())); n != 1024 {
		t.Errorf("%d devices", n)
	}
}

func TestVendors(t *testing.T) {
	for name, want := range map[string]string{
		"nvidia.com/gpu=0": "nvidia", "k8s.device-plugin.nvidia.com/gpu=GPU-0": "nvidia",
		"amd.com/gpu=0": "amd", "intel.com/gpu=card1": "intel",
		"k8s.gpu.nvidia.com/claim=0a-gpu-0": "nvidia", "gpu.amd.com/device=g": "amd",
		"example.org/gpu=0": "", "notnvidia.com/gpu=0": "", "nvidia.com/net=0": "",
		"k8s.compute-domain.nvidia.com/channel=0": "",
	} {
		n, ok := cdi.Parse(name)
		if !ok {
			t.Fatal(name)
		}
		if got, ok := gpu.VendorFromCDI(n); got != want || ok != (want != "") {
			t.Errorf("VendorFromCDI(%s) = %q, %t; want %q", name, got, ok, want)
		}
	}
	for driver, want := range map[string]string{"gpu.nvidia.com": "nvidia", "gpu.intel.com": "intel",
		"gpu.example.org": "", "compute-domain.nvidia.com": "", "": ""} {
		if got, ok := gpu.VendorFromDriver(driver); got != want || ok != (want != "") {
			t.Errorf("VendorFromDriver(%s) = %q, %t; want %q", driver, got, ok, want)
		}
	}
	if got := gpu.PluginDevice("GPU-0a1b::3"); got != "GPU-0a1b" {
		t.Errorf("PluginDevice = %q", got)
	}
}

// FuzzVisibleDevices: what has been read reads the same, and has no parts.
func FuzzVisibleDevices(f *testing.F) {
	for _, value := range []string{"all", "none", "0,1", "GPU-a,MIG-b", "0:1", "nvidia.com/gpu=0",
		"MIG-GPU-a/1/0", " ,,/x", "nvidia.com/gpu=all,0"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		devices := gpu.VisibleDevices(value)
		for _, d := range devices {
			if d == "" || strings.Contains(d, ",") || d == "none" || d == "void" {
				t.Fatalf("VisibleDevices(%q) = %q", value, devices)
			}
		}
		if again := gpu.VisibleDevices(strings.Join(devices, ",")); !slices.Equal(again, devices) {
			t.Fatalf("VisibleDevices(%q) = %q, and of that %q", value, devices, again)
		}
	})
}
