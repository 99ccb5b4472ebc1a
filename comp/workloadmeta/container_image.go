package workloadmeta

import (
	"bytes"
	"slices"
	"time"
)

// ContainerImageMetadata is an image on this machine. Its ID is the digest of the
// image's configuration, "sha256:<hex>" (for Docker the image ID), so that one image
// known under several names is one entity.
type ContainerImageMetadata struct {
	EntityID
	EntityMeta
	RepoTags    []string `json:"repo_tags,omitempty"`    // "repo:tag"
	RepoDigests []string `json:"repo_digests,omitempty"` // "repo@sha256:…"
	MediaType   string   `json:"media_type,omitempty"`
	// unpacked from Docker, compressed from containerd
	SizeBytes    int64                 `json:"size_bytes,omitempty"`
	OS           string                `json:"os,omitempty"`
	OSVersion    string                `json:"os_version,omitempty"`
	Architecture string                `json:"architecture,omitempty"`
	Variant      string                `json:"variant,omitempty"`
	Layers       []ContainerImageLayer `json:"layers,omitempty"` // oldest first
	SBOM         *SBOM                 `json:"sbom,omitempty"`
}

// ContainerImageLayer is one layer of an image.
type ContainerImageLayer struct {
	MediaType string        `json:"media_type,omitempty"`
	Digest    string        `json:"digest,omitempty"`
	SizeBytes int64         `json:"size_bytes,omitempty"`
	URLs      []string      `json:"urls,omitempty"`
	History   *LayerHistory `json:"history,omitempty"`
}

// LayerHistory says how a layer came to be.
type LayerHistory struct {
	Created    time.Time `json:"created,omitzero"`
	CreatedBy  string    `json:"created_by,omitempty"`
	Author     string    `json:"author,omitempty"`
	Comment    string    `json:"comment,omitempty"`
	EmptyLayer bool      `json:"empty_layer,omitempty"`
}

func (l ContainerImageLayer) equal(o ContainerImageLayer) bool {
	return l.MediaType == o.MediaType && l.Digest == o.Digest && l.SizeBytes == o.SizeBytes &&
		slices.Equal(l.URLs, o.URLs) &&
		equalPtrFunc(l.History, o.History, func(a, b *LayerHistory) bool {
			return a.Created.Equal(b.Created) && a.CreatedBy == b.CreatedBy &&
				a.Author == b.Author &&
				a.Comment == b.Comment && a.EmptyLayer == b.EmptyLayer
		})
}

// SBOM is a bill of materials of an image, or the reason why there is none yet.
type SBOM struct {
	BOM                []byte        `json:"bom,omitempty"` // CycloneDX, opaque here
	GenerationTime     time.Time     `json:"generation_time,omitzero"`
	GenerationDuration time.Duration `json:"generation_duration,omitempty"` // nanoseconds
	// Pending, Success, Failed
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (s *SBOM) equal(o *SBOM) bool {
	return bytes.Equal(s.BOM, o.BOM) && s.GenerationTime.Equal(o.GenerationTime) &&
		s.GenerationDuration == o.GenerationDuration && s.Status == o.Status && s.Error == o.Error
}

// Equal implements [Entity].
func (i *ContainerImageMetadata) Equal(other Entity) bool {
	o, ok := other.(*ContainerImageMetadata)
	return ok && (i == o || i.EntityID == o.EntityID && i.EntityMeta.equal(&o.EntityMeta) &&
		slices.Equal(i.RepoTags, o.RepoTags) && slices.Equal(i.RepoDigests, o.RepoDigests) &&
		i.MediaType == o.MediaType && i.SizeBytes == o.SizeBytes && i.OS == o.OS &&
		i.OSVersion == o.OSVersion &&
		i.Architecture == o.Architecture && i.Variant == o.Variant &&
		slices.EqualFunc(i.Layers, o.Layers, ContainerImageLayer.equal) &&
		equalPtrFunc(i.SBOM, o.SBOM, (*SBOM).equal))
}

func (i *ContainerImageMetadata) merged(views *views) Entity {
	out := &ContainerImageMetadata{EntityID: i.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*ContainerImageMetadata)
		out.EntityMeta.fill(&v.EntityMeta)
		fillSorted(&out.RepoTags, v.RepoTags)
		fillSorted(&out.RepoDigests, v.RepoDigests)
		if len(out.Layers) == 0 {
			// Layers and sizes are of one kind, unpacked or compressed, and do not mix.
			out.Layers = v.Layers
			if v.SizeBytes != 0 {
				out.SizeBytes = v.SizeBytes
			}
			if v.MediaType != "" {
				out.MediaType = v.MediaType
			}
		}
		fill(&out.MediaType, v.MediaType)
		fill(&out.SizeBytes, v.SizeBytes)
		fill(&out.OS, v.OS)
		fill(&out.OSVersion, v.OSVersion)
		fill(&out.Architecture, v.Architecture)
		fill(&out.Variant, v.Variant)
		fill(&out.SBOM, v.SBOM)
	}
	return out
}
