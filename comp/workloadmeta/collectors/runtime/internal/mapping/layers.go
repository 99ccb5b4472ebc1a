package mapping

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// HistoryEntry is one step of an image's history, as the image's configuration has it.
type HistoryEntry struct {
	Created                    time.Time
	CreatedBy, Author, Comment string
	EmptyLayer                 bool // the step changed no file
}

// PairLayers pairs an image's history with its layers, both oldest first: the n-th entry that is
// not empty belongs to the n-th layer, and an entry without a layer becomes one without digest and
// size. Where the numbers do not agree the history is left out rather than guessed. What builders
// write into the history has the values of variables and build arguments in it, of which those that
// are not allowed are masked. The rule is that of the OCI image specification.
func PairLayers(history []HistoryEntry, layers []workloadmeta.ContainerImageLayer,
	allowed func(name string) bool) []workloadmeta.ContainerImageLayer {
	filled := 0
	for i := range history {
		if !history[i].EmptyLayer {
			filled++
		}
	}
	if filled != len(layers) || len(history) == 0 {
		return layers
	}
	out := make([]workloadmeta.ContainerImageLayer, 0, len(history))
	for i := range history {
		h := &history[i]
		var layer workloadmeta.ContainerImageLayer
		if !h.EmptyLayer {
			layer, layers = layers[0], layers[1:]
		}
		layer.History = &workloadmeta.LayerHistory{
			Created: h.Created.UTC(), CreatedBy: scrub.History(h.CreatedBy,
				allowed), Author: h.Author, Comment: h.Comment, EmptyLayer: h.EmptyLayer,
		}
		if h.Created.IsZero() {
			layer.History.Created = time.Time{}
		}
		out = append(out, layer)
	}
	return out
}
