// Package gpu turns the names that drivers and Kubernetes give to GPUs into the
// short, stable values that tags carry.
//
// All functions are pure and safe on any input.
package gpu

import "strings"

// Vendors as [VendorFromResourceName] returns them.
const (
	VendorNVIDIA = "nvidia"
	VendorAMD    = "amd"
	VendorIntel  = "intel"
)

// TypeFromDeviceName returns the model of an NVIDIA device from the commercial
// name the driver reports, such as "a100" for "NVIDIA A100-SXM4-80GB" or
// "rtx_3090" for "NVIDIA GeForce RTX 3090", and "" for any other name.
//
// The name in lower case, with every run of other characters read as one
// separator, must be: nvidia or tesla, perhaps geforce, perhaps rtx or rtx pro
// (kept in the result), then the model.
func TypeFromDeviceName(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9')
	})
	if len(words) == 0 || words[0] != "nvidia" && words[0] != "tesla" {
		return ""
	}
	words = words[1:]
	if len(words) > 1 && words[0] == "geforce" {
		words = words[1:]
	}
	switch {
	case len(words) > 2 && words[0] == "rtx" && words[1] == "pro":
		return "rtx_pro_" + words[2]
	case len(words) > 1 && words[0] == "rtx":
		return "rtx_" + words[1]
	case len(words) > 0:
		return words[0]
	}
	return ""
}

// VendorFromResourceName returns the vendor of a Kubernetes extended resource
// ("nvidia.com/gpu", "nvidia.com/mig-3g.20gb", "amd.com/gpu",
// "gpu.intel.com/xe", "gpu.intel.com/i915"); ok is false if the resource is not
// a GPU.
func VendorFromResourceName(resource string) (vendor string, ok bool) {
	switch {
	case resource == "nvidia.com/gpu", strings.HasPrefix(resource, "nvidia.com/mig"):
		return VendorNVIDIA, true
	case resource == "amd.com/gpu":
		return VendorAMD, true
	case resource == "gpu.intel.com/xe", resource == "gpu.intel.com/i915":
		return VendorIntel, true
	}
	return "", false
}
