// Package image takes container image references apart.
//
// The name, registry, short name and tag it returns become tag values
// (image_name, short_image, image_tag), and dashboards are built on those. The
// splitting is therefore a fixed, purely textual rule and knowingly not the
// grammar of the OCI distribution specification: it accepts every non-empty
// string that is not a bare digest, never normalises, and sees a registry only
// in a reference with at least two slashes. [Domain] answers the other
// question, which registry host a reference really names.
//
// All functions are pure and safe on any input.
package image

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultTag is the tag a runtime assumes when a reference has none.
const DefaultTag = "latest"

var (
	// ErrEmpty reports a reference that is the empty string.
	ErrEmpty = errors.New("empty image reference")
	// ErrDigest reports a reference that is only a digest ("sha256:…"), as
	// runtimes print it for an image that has lost its last name.
	ErrDigest = errors.New("image reference is a bare sha256 digest")
)

// Ref is an image reference in parts. Parts that the reference does not have
// are empty.
type Ref struct {
	Name      string // everything before tag and digest: "reg.io:5000/shop/cart"
	Registry  string // text before the first slash if there are two or more: "reg.io:5000"
	ShortName string // last element of the path: "cart"
	Tag       string // "1.36"
	Digest    string // with its algorithm: "sha256:0a…", "sha512:0b…"
}

// Split takes a reference apart. The error wraps [ErrEmpty] or [ErrDigest] and
// names the input; the Ref is then zero. An absent tag stays empty.
func Split(name string) (Ref, error) {
	switch {
	case name == "":
		return Ref{}, fmt.Errorf("split image name %q: %w", name, ErrEmpty)
	case isDigest(name):
		return Ref{}, fmt.Errorf("split image name %q: %w", name, ErrDigest)
	}
	var r Ref
	r.Name = name
	// No name and no tag has an "@": whatever follows it, and whatever its algorithm, is no
	// part of them.
	if at := strings.IndexByte(name, '@'); at > 0 {
		r.Name = name[:at]
		r.Digest = digest(name[at+1:])
	}
	r.Name, r.Tag = SplitRepoTag(r.Name)
	r.ShortName = r.Name
	if last := strings.LastIndexByte(r.Name, '/'); last >= 0 {
		r.ShortName = r.Name[last+1:]
		if first := strings.IndexByte(r.Name, '/'); first < last {
			r.Registry = r.Name[:first]
		}
	}
	return r, nil
}

// ForContainer is Split as the image field of a container wants it: the tag
// defaults to [DefaultTag], and a reference that cannot be split still yields
// a Ref whose Name is the raw input, beside the error of [Split].
//
// The default also applies to a reference pinned by digest. That is what
// dashboards have seen so far; a collector that must not invent a tag uses
// [Split] alone.
func ForContainer(rawName string) (Ref, error) {
	r, err := Split(rawName)
	if err != nil {
		return Ref{Name: rawName}, err
	}
	return r.WithDefaultTag(), nil
}

// WithDefaultTag returns r with [DefaultTag] where the tag is empty. Use it
// only on the result of a successful [Split].
func (r Ref) WithDefaultTag() Ref {
	if r.Tag == "" {
		r.Tag = DefaultTag
	}
	return r
}

// SplitRepoTag divides "repository:tag" at the last colon, provided it comes
// after the last slash; otherwise the colon belongs to a registry's port and
// the tag is empty.
func SplitRepoTag(s string) (repo, tag string) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || colon < strings.LastIndexByte(s, '/') {
		return s, ""
	}
	return s[:colon], s[colon+1:]
}

// RepoDigest returns the digest of a repository digest ("repo@sha256:…" and
// "repo:tag@sha256:…" give "sha256:…"), and "" for anything else.
func RepoDigest(s string) string {
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return ""
	}
	return digest(s[at+1:])
}

// isDigest reports whether a text is a bare digest. That of another algorithm than sha256
// is told from "name:tag" by its length.
func isDigest(s string) bool {
	if strings.HasPrefix(s, "sha256:") {
		return true
	}
	algorithm, sum, _ := strings.Cut(s, ":")
	return strings.HasPrefix(algorithm, "sha") && len(sum) >= 64 &&
		strings.Trim(sum, "0123456789abcdef") == ""
}

// The registry that is meant where a reference names none, and where its official images
// are.
const (
	defaultDomain = "docker.io/"
	official      = "library/"
)

// Spellings returns the short and the full spelling of a reference: "redis:7" and
// "docker.io/library/redis:7". Runtimes differ in which they use for one image. For what has
// only one spelling both are the reference itself.
func Spellings(reference string) (short, full string) {
	if reference == "" || isDigest(reference) {
		return reference, reference
	}
	rest, ok := strings.CutPrefix(strings.TrimPrefix(reference, "index."), defaultDomain)
	if !ok {
		if Domain(reference) != "" {
			return reference, reference
		}
		rest = reference
	}
	name, _, _ := strings.Cut(rest, "@")
	if !strings.Contains(name, "/") {
		return rest, defaultDomain + official + rest
	}
	return strings.TrimPrefix(rest, official), defaultDomain + rest
}

// Domain returns the registry host a reference names, with its port, or "" if
// it names none (it then means the runtime's default registry). By the
// reference grammar the first element is a host only if it has a dot or a
// colon or is "localhost", and something follows it.
func Domain(name string) string {
	first, _, ok := strings.Cut(name, "/")
	if ok && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		return first
	}
	return ""
}

// digest returns s if it has the shape algorithm:hex, else "".
func digest(s string) string {
	algorithm, sum, ok := strings.Cut(s, ":")
	if !ok || algorithm == "" || sum == "" || strings.ContainsAny(algorithm, "@/<") ||
		strings.ContainsAny(sum, "@/:<") {
		return ""
	}
	return s
}
