package docker

import (
	"errors"
	"slices"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/env"
	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// mapImageList makes an image of its entry in the list, without what only an inspection tells.
func mapImageList(in *dockerimage.Summary) (*workloadmeta.ContainerImageMetadata, error) {
	if in.ID == "" {
		return nil, errors.New("image list entry without an ID")
	}
	names := mapping.NewImageNames(in.ID, in.RepoTags, in.RepoDigests)
	i := names.NewImage()
	i.Labels = mapping.Metadata(in.Labels)
	i.SizeBytes = in.Size
	if in.Descriptor != nil {
		i.MediaType = in.Descriptor.MediaType
	}
	return i, nil
}

// mapImage makes an image of its inspection and its history. With the containerd image store the ID
// is the digest of a manifest or an index, not of the configuration; containers name their image by
// the same ID.
func mapImage(in *dockerimage.InspectResponse, history []dockerimage.HistoryResponseItem,
	allowed *env.Filter) (*workloadmeta.ContainerImageMetadata, error) {
	if in.ID == "" {
		return nil, errors.New("image inspect answer without an ID")
	}
	names := mapping.NewImageNames(in.ID, in.RepoTags, in.RepoDigests)
	i := names.NewImage()
	if in.Config != nil {
		i.Labels = mapping.Metadata(in.Config.Labels)
	}
	if in.Descriptor != nil {
		i.MediaType = in.Descriptor.MediaType
	}
	i.SizeBytes = in.Size
	i.OS, i.OSVersion, i.Architecture, i.Variant = in.Os, in.OsVersion, in.Architecture, in.Variant
	i.Layers = mapLayers(history, in.RootFS.Layers, allowed)
	return i, nil
}

// mapLayers pairs an image's history, newest first and without digests, with the digests of its
// layers, oldest first. An entry that changed no file has no layer, but a layer may also be empty:
// where the numbers do not agree the digests are left out rather than guessed. Without a history
// there are only digests. What builders write into the history has the values of variables and
// build arguments in it, of which those that are not allowed are masked.
func mapLayers(history []dockerimage.HistoryResponseItem, digests []string,
	allowed *env.Filter) []workloadmeta.ContainerImageLayer {
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
			History: &workloadmeta.LayerHistory{
				CreatedBy: scrub.History(h.CreatedBy, allowed.Allowed), Comment: h.Comment,
				EmptyLayer: empty},
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
