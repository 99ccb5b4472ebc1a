// Package cdi reads the names that the Container Device Interface gives to devices, such as
// nvidia.com/gpu=0: a vendor, a class of its devices, and one of them.
//
// All functions are pure and safe on any input.
//
// Source: the specification of the Container Device Interface (cncf-tags), and what the annotations
// of its Go package are.
package cdi

import (
	"maps"
	"slices"
	"strings"
)

// AnnotationPrefix begins the keys of annotations that name devices for a container.
const AnnotationPrefix = "cdi.k8s.io/"

// maxNames bounds the names of one container.
const maxNames = 1024

// Name is the full name of a device.
type Name struct {
	Vendor string // a domain: nvidia.com
	Class  string // gpu
	Device string // 0, GPU-…, all
}

// Kind returns the vendor and the class: nvidia.com/gpu.
func (n Name) Kind() string { return n.Vendor + "/" + n.Class }

// String returns the full name: nvidia.com/gpu=0.
func (n Name) String() string { return n.Kind() + "=" + n.Device }

// Parse reads a full name. It is false for what is none, such as a path.
func Parse(text string) (Name, bool) {
	kind, device, ok := strings.Cut(text, "=")
	vendor, class, both := strings.Cut(kind, "/")
	n := Name{vendor, class, device}
	return n, ok && both && isWord(vendor, "_-.", false) && isWord(class, "_-.", false) &&
		isWord(device, "_-.:", true)
}

// isWord reports whether a text consists of letters, digits and some signs, without a sign at
// either end, and whether it begins with a letter, or else, where that is allowed, a digit.
func isWord(text, signs string, digits bool) bool {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		sign := strings.IndexByte(signs, c) >= 0
		if !letter && !digit && !sign || i == 0 && !letter && (!digit || !digits) ||
			i == len(text)-1 && sign {
			return false
		}
	}
	return text != ""
}

// FromAnnotations returns the devices that a container's annotations name, in the order of their
// keys, each once. What is no name is left out.
func FromAnnotations(annotations map[string]string) []Name {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, AnnotationPrefix) {
			texts = append(texts, strings.Split(annotations[key], ",")...)
		}
	}
	return ParseAll(texts)
}

// ParseAll returns the names among texts, each once. What is no name is left out.
func ParseAll(texts []string) []Name {
	var names []Name
	for _, text := range texts {
		n, ok := Parse(strings.TrimSpace(text))
		if ok && len(names) < maxNames && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
