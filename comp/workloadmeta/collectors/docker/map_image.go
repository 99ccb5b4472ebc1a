package docker

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/env"
	"github.com/rollcall-dev/rollcall/pkg/image"
	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// imageInfo is what containers need to know about their image.
type imageInfo struct {
	id      string
	tags    []string // "repo:tag", in order of preference
	digests []string // "repo@sha256:…", in order of preference
}

func newImageInfo(id string, tags, digests []string) imageInfo {
	return imageInfo{id: imageID(id), tags: references(tags), digests: references(digests)}
}

func (i *imageInfo) equal(o *imageInfo) bool {
	return i.id == o.id && slices.Equal(i.tags, o.tags) && slices.Equal(i.digests, o.digests)
}

// references copies and orders references: by registry, then repository, then tag or digest. "<none>", with which lists mark
// what is missing, is left out.
func references(in []string) []string {
	var out []string
	for _, ref := range in {
		if ref != "" && !strings.HasPrefix(ref, "<none>") {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(image.Domain(a), image.Domain(b)), cmp.Compare(repository(a), repository(b)), cmp.Compare(a, b))
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

// reference returns the name that stands for the image: its first tag, else its first digest, else "".
func (i *imageInfo) reference() string {
	switch {
	case len(i.tags) > 0:
		return i.tags[0]
	case len(i.digests) > 0:
		return i.digests[0]
	}
	return ""
}

// name is reference for people: a digest is cut off, and an image without any name is called by its ID.
func (i *imageInfo) name() string {
	switch {
	case len(i.tags) > 0:
		return i.tags[0]
	case len(i.digests) > 0:
		return repository(i.digests[0])
	}
	return i.id
}

// digestFor returns the digest under which the repository of ref knows the image: the one the reference is
// pinned to, the only one there is, or that of the same repository or else registry.
func (i *imageInfo) digestFor(ref image.Ref) string {
	if ref.Digest != "" {
		return ref.Digest
	}
	if len(i.digests) == 1 {
		return image.RepoDigest(i.digests[0])
	}
	for _, same := range []func(string) bool{
		func(d string) bool { return repository(d) == ref.Name },
		func(d string) bool { return image.Domain(d) == image.Domain(ref.Name) },
	} {
		if at := slices.IndexFunc(i.digests, same); at >= 0 {
			return image.RepoDigest(i.digests[at])
		}
	}
	return ""
}

// resolveImage fills in a container's image from the reference it was started from and its image's ID; info is nil
// while the image is not known. The tag is "latest", as for the daemon, if the reference has neither tag nor digest.
func resolveImage(id, rawName string, info *imageInfo) workloadmeta.ContainerImage {
	out := workloadmeta.ContainerImage{ID: id, RawName: rawName, Name: rawName}
	name := rawName
	if isImageID(rawName, id) {
		name = ""
		if info != nil {
			name = info.reference()
		}
	}
	ref, err := image.Split(name)
	if err != nil {
		if out.Name == "" {
			out.Name = id
		}
		if info != nil {
			out.RepoDigest = info.digestFor(ref)
		}
		return out
	}
	if ref.Digest == "" {
		ref = ref.WithDefaultTag()
	}
	out.Name, out.Registry, out.ShortName, out.Tag = ref.Name, ref.Registry, ref.ShortName, ref.Tag
	out.RepoDigest = ref.Digest
	if info != nil {
		out.RepoDigest = info.digestFor(ref)
	}
	return out
}

// isImageID reports whether a container's image reference is no name but the image's ID, whole or its beginning.
func isImageID(ref, id string) bool {
	if ref == "" || strings.HasPrefix(ref, "sha256:") {
		return true
	}
	return len(ref) >= 4 && strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), ref)
}

// mapImageList makes an image of its entry in the list, without what only an inspection tells.
func mapImageList(in *dockerimage.Summary) (*workloadmeta.ContainerImageMetadata, imageInfo, error) {
	if in.ID == "" {
		return nil, imageInfo{}, errors.New("image list entry without an ID")
	}
	info := newImageInfo(in.ID, in.RepoTags, in.RepoDigests)
	i := newImage(info)
	i.Labels = nilIfEmpty(maps.Clone(in.Labels))
	i.SizeBytes = in.Size
	if in.Descriptor != nil {
		i.MediaType = in.Descriptor.MediaType
	}
	return i, info, nil
}

func newImage(info imageInfo) *workloadmeta.ContainerImageMetadata {
	i := &workloadmeta.ContainerImageMetadata{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: info.id},
		RepoTags: info.tags, RepoDigests: info.digests,
	}
	i.Name = info.name()
	return i
}

// renamed returns the image under the names it has now. Everything else of an image is fixed by its ID.
func renamed(i *workloadmeta.ContainerImageMetadata, info imageInfo) *workloadmeta.ContainerImageMetadata {
	out := *i
	out.RepoTags, out.RepoDigests, out.Name = info.tags, info.digests, info.name()
	return &out
}

// mapImage makes an image of its inspection and its history. With the containerd image store the ID is the digest of a
// manifest or an index, not of the configuration; containers name their image by the same ID.
func mapImage(in *dockerimage.InspectResponse, history []dockerimage.HistoryResponseItem, allowed *env.Filter) (*workloadmeta.ContainerImageMetadata, imageInfo, error) {
	if in.ID == "" {
		return nil, imageInfo{}, errors.New("image inspect answer without an ID")
	}
	info := newImageInfo(in.ID, in.RepoTags, in.RepoDigests)
	i := newImage(info)
	if in.Config != nil {
		i.Labels = nilIfEmpty(maps.Clone(in.Config.Labels))
	}
	if in.Descriptor != nil {
		i.MediaType = in.Descriptor.MediaType
	}
	i.SizeBytes = in.Size
	i.OS, i.OSVersion, i.Architecture, i.Variant = in.Os, in.OsVersion, in.Architecture, in.Variant
	i.Layers = mapLayers(history, in.RootFS.Layers, allowed)
	return i, info, nil
}

// mapLayers pairs an image's history, newest first and without digests, with the digests of its layers, oldest first. An
// entry that changed no file has no layer, but a layer may also be empty: where the numbers do not agree the digests
// are left out rather than guessed. Without a history there are only digests. What builders write into the history has the
// values of variables and build arguments in it, of which those that are not allowed are masked.
func mapLayers(history []dockerimage.HistoryResponseItem, digests []string, allowed *env.Filter) []workloadmeta.ContainerImageLayer {
	if len(history) == 0 {
		var layers []workloadmeta.ContainerImageLayer
		for _, digest := range digests {
			layers = append(layers, workloadmeta.ContainerImageLayer{Digest: digest})
		}
		return layers
	}
	filled := 0
	for _, h := range history {
		if h.Size != 0 {
			filled++
		}
	}
	allFilled := len(history) == len(digests)
	paired := allFilled || filled == len(digests)

	layers := make([]workloadmeta.ContainerImageLayer, 0, len(history))
	for _, h := range slices.Backward(history) {
		empty := h.Size == 0 && !allFilled
		layer := workloadmeta.ContainerImageLayer{
			SizeBytes: h.Size,
			History:   &workloadmeta.LayerHistory{CreatedBy: scrub.History(h.CreatedBy, allowed.Allowed), Comment: h.Comment, EmptyLayer: empty},
		}
		if h.Created > 0 {
			layer.History.Created = time.Unix(h.Created, 0).UTC()
		}
		if paired && !empty {
			layer.Digest, digests = digests[0], digests[1:]
		}
		layers = append(layers, layer)
	}
	return layers
}
