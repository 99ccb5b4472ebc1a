package podman

import (
	"errors"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// mapImageList makes an image of its entry in the list, without what only an inspection tells.
func mapImageList(in *imageEntry) (*workloadmeta.ContainerImageMetadata, error) {
	if in.ID == "" {
		return nil, errors.New("image list entry without an ID")
	}
	names := mapping.NewImageNames(in.ID, in.RepoTags, in.RepoDigests)
	i := names.NewImage()
	i.Labels = mapping.Metadata(in.Labels)
	i.SizeBytes = in.Size
	return i, nil
}

// mapImage makes an image of its inspection.
func mapImage(in *imageAnswer, allowed *env.Filter) (*workloadmeta.ContainerImageMetadata, error) {
	if in.ID == "" {
		return nil, errors.New("image inspect answer without an ID")
	}
	names := mapping.NewImageNames(in.ID, in.RepoTags, in.RepoDigests)
	i := names.NewImage()
	i.Labels = mapping.Metadata(in.Labels)
	i.SizeBytes, i.MediaType = in.Size, in.ManifestType
	i.OS, i.Architecture = in.Os, in.Architecture
	var layers []workloadmeta.ContainerImageLayer
	for _, digest := range in.RootFS.Layers {
		layers = append(layers, workloadmeta.ContainerImageLayer{Digest: mapping.ImageID(digest)})
	}
	var history []mapping.HistoryEntry
	for _, h := range in.History {
		history = append(history, mapping.HistoryEntry{
			Created: mapping.ParseTime(h.Created), CreatedBy: h.CreatedBy, Author: h.Author,
			Comment: h.Comment, EmptyLayer: h.EmptyLayer,
		})
	}
	i.Layers = mapping.PairLayers(history, layers, allowed.Allowed)
	return i, nil
}
