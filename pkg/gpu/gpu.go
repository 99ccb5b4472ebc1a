// Package gpu turns the names that drivers and Kubernetes give to GPUs into the
// short, stable values that tags carry.
//
// All functions are pure and safe on any input.
package gpu

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/pkg/cdi"
)

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

// All is what stands for every GPU there is among the IDs that [VisibleDevices] returns.
const All = "all"

// maxDevices bounds the devices of one container.
const maxDevices = 1024

// VisibleDevices returns the devices that a value of NVIDIA_VISIBLE_DEVICES names, each once:
//
//   - the UUID of a GPU or of a slice of one: GPU-…, MIG-…, and MIG-GPU-…/7/0 of older drivers;
//   - the position of a GPU on the machine, "0", or of a slice on its GPU, "0:1";
//   - [All], alone.
//
// It returns nil for "none" and "void", which name no device, and for a path, with which a device
// plugin says that it names them elsewhere. A name of the Container Device Interface stands for its
// device.
func VisibleDevices(value string) []string {
	var devices []string
	for entry := range strings.SplitSeq(value, ",") {
		entry = strings.TrimSpace(entry)
		if name, ok := cdi.Parse(entry); ok {
			if entry, ok = NVIDIADevice(name); !ok {
				continue
			}
		}
		switch {
		case entry == All:
			return []string{All}
		case entry == "", entry == "none", entry == "void", strings.HasPrefix(entry, "/"):
		case len(devices) < maxDevices && !slices.Contains(devices, entry):
			devices = append(devices, entry)
		}
	}
	return devices
}

// NVIDIADevice returns the device that a name of the Container Device Interface means, as
// [VisibleDevices] does, if it is one of NVIDIA's GPUs.
func NVIDIADevice(name cdi.Name) (device string, ok bool) {
	if name.Class != "gpu" || vendorOf(name.Vendor) != VendorNVIDIA {
		return "", false
	}
	return name.Device, true
}

// VendorFromCDI returns the vendor of a device of the Container Device Interface; ok is false if it
// is not a GPU.
func VendorFromCDI(name cdi.Name) (vendor string, ok bool) {
	if name.Class != "gpu" {
		// of dynamic resource allocation, whose class is "claim" or "device"
		return VendorFromDriver(strings.TrimPrefix(name.Vendor, "k8s."))
	}
	vendor = vendorOf(name.Vendor)
	return vendor, vendor != ""
}

// VendorFromDriver returns the vendor of the devices that a driver of dynamic resource allocation
// has, such as gpu.nvidia.com; ok is false if they are not GPUs.
func VendorFromDriver(driver string) (vendor string, ok bool) {
	domain, ok := strings.CutPrefix(driver, "gpu.")
	if !ok {
		return "", false
	}
	vendor = vendorOf(domain)
	return vendor, vendor != ""
}

// vendorOf returns the vendor that a domain is of; "" if it makes no GPUs that are known.
func vendorOf(domain string) string {
	for _, vendor := range [...]string{VendorNVIDIA, VendorAMD, VendorIntel} {
		if domain == vendor+".com" || strings.HasSuffix(domain, "."+vendor+".com") {
			return vendor
		}
	}
	return ""
}

// PluginDevice returns the UUID in the ID that NVIDIA's device plugin gives to a device: one that
// several containers share has a number behind it, GPU-…::1.
func PluginDevice(id string) string {
	device, _, _ := strings.Cut(id, "::")
	return device
}
