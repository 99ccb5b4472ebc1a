package mapping

import (
	"cmp"
	"slices"
	"strings"
	"unique"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// ImageNames are the names of an image: what its containers need to know about it.
type ImageNames struct {
	ID      string
	Tags    []string // "repo:tag", in order of preference
	Digests []string // "repo@sha256:…", in order of preference
}

// NewImageNames copies and orders names. "<none>", with which runtimes mark what is missing, is
// left out. Runtimes put digests among the tags ("repo@sha256:…"), and tags into digests
// ("repo:tag@sha256:…"): a tag's name has no digest here, and a digest's has no tag.
func NewImageNames(id string, tags, digests []string) ImageNames {
	var plain, pinned []string
	for _, ref := range tags {
		repo, digest, ok := strings.Cut(ref, "@")
		if !ok {
			plain = append(plain, ref)
			continue
		}
		name, tag := image.SplitRepoTag(repo)
		if tag != "" {
			plain = append(plain, repo)
		}
		pinned = append(pinned, name+"@"+digest)
	}
	for _, ref := range digests {
		if repo, digest, ok := strings.Cut(ref, "@"); ok {
			name, _ := image.SplitRepoTag(repo)
			ref = name + "@" + digest
		}
		pinned = append(pinned, ref)
	}
	return ImageNames{ID: ImageID(id), Tags: references(plain), Digests: references(pinned)}
}

// Digest returns the digest in a reference, with its algorithm, or "".
func Digest(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}

// NamesOf returns the names of an image.
func NamesOf(i *workloadmeta.ContainerImageMetadata) ImageNames {
	return ImageNames{ID: i.ID, Tags: i.RepoTags, Digests: i.RepoDigests}
}

// Equal reports whether both are the same names of the same image.
func (n *ImageNames) Equal(o *ImageNames) bool {
	return n.ID == o.ID && slices.Equal(n.Tags, o.Tags) && slices.Equal(n.Digests, o.Digests)
}

// ImageID returns an image's ID with its algorithm: some interfaces leave it out.
func ImageID(s string) string {
	if len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" {
		return "sha256:" + s
	}
	return s
}

// IsFullImageID reports whether s is a whole image ID with its algorithm.
func IsFullImageID(s string) bool {
	return len(s) == len("sha256:")+64 && ImageID(s[len("sha256:"):]) == s
}

// references copies and orders references: by registry, then repository, then tag or digest.
func references(in []string) []string {
	var out []string
	for _, ref := range in {
		if ref != "" && !strings.HasPrefix(ref, "<none>") {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(image.Domain(a), image.Domain(b)),
			cmp.Compare(repository(a), repository(b)), cmp.Compare(a, b))
	})
	return slices.Compact(out)
}

func repository(ref string) string {
	r, err := image.Split(ref)
	if err != nil {
		return ref
	}
	return r.Name
}

// Reference returns the name that stands for the image: its first tag, else its first digest, else
// "".
func (n *ImageNames) Reference() string {
	switch {
	case len(n.Tags) > 0:
		return n.Tags[0]
	case len(n.Digests) > 0:
		return n.Digests[0]
	}
	return ""
}

// Name is Reference for people: a digest is cut off, and an image without any name is called by its
// ID.
func (n *ImageNames) Name() string {
	switch {
	case len(n.Tags) > 0:
		return n.Tags[0]
	case len(n.Digests) > 0:
		return repository(n.Digests[0])
	}
	return n.ID
}

// NewImage returns an image entity with these names and nothing else.
func (n *ImageNames) NewImage() *workloadmeta.ContainerImageMetadata {
	i := &workloadmeta.ContainerImageMetadata{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: n.ID},
		RepoTags: n.Tags, RepoDigests: n.Digests,
	}
	i.EntityMeta.Name = n.Name()
	return i
}

// Renamed returns the image under the names it has now. Everything else of an image is fixed by its
// ID.
func Renamed(i *workloadmeta.ContainerImageMetadata,
	names ImageNames) *workloadmeta.ContainerImageMetadata {
	out := *i
	out.RepoTags, out.RepoDigests, out.Name = names.Tags, names.Digests, names.Name()
	return &out
}

// digestFor returns the digest under which the repository of ref knows the image: the one the
// reference is pinned to, the only one there is, or that of the same repository or else registry.
func (n *ImageNames) digestFor(ref image.Ref) string {
	if ref.Digest != "" {
		return ref.Digest
	}
	if len(n.Digests) == 1 {
		return Digest(n.Digests[0])
	}
	for _, same := range []func(string) bool{
		func(d string) bool { return repository(d) == ref.Name },
		func(d string) bool { return image.Domain(d) == image.Domain(ref.Name) },
	} {
		if at := slices.IndexFunc(n.Digests, same); at >= 0 {
			return Digest(n.Digests[at])
		}
	}
	return ""
}

// ResolveImage fills in a container's image from the reference it was started from and its image's
// ID; names is nil while the image is not known. The tag is "latest", as for the daemons, if the
// reference has neither tag nor digest.
func ResolveImage(id, rawName string, names *ImageNames) workloadmeta.ContainerImage {
	out := workloadmeta.ContainerImage{ID: id, RawName: rawName, Name: rawName}
	name := rawName
	if NamesID(rawName, id) {
		name = ""
		if names != nil {
			name = names.Reference()
		}
	}
	ref, err := image.Split(name)
	if err != nil {
		if out.Name == "" {
			out.Name = id
		}
		if names != nil {
			out.RepoDigest = names.digestFor(ref)
		}
		return out
	}
	if ref.Digest == "" {
		ref = ref.WithDefaultTag()
	}
	out.Name, out.Registry, out.ShortName, out.Tag = ref.Name, ref.Registry, ref.ShortName, ref.Tag
	out.RepoDigest = ref.Digest
	if names != nil {
		out.RepoDigest = names.digestFor(ref)
	}
	return out
}

// SharedImage is what a container says of its image. Containers of one image share its strings, for
// as long as any of them has it: nothing else keeps it.
type SharedImage struct {
	image unique.Handle[workloadmeta.ContainerImage]
}

// Set remembers the image and returns it in the strings that are shared.
func (s *SharedImage) Set(i workloadmeta.ContainerImage) workloadmeta.ContainerImage {
	s.image = unique.Make(i)
	return s.image.Value()
}

// NamesID reports whether a container's image reference is no name but the image's ID, whole or its
// beginning.
func NamesID(ref, id string) bool {
	if ref == "" || strings.HasPrefix(ref, "sha256:") {
		return true
	}
	return len(ref) >= 4 && strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), ref)
}
