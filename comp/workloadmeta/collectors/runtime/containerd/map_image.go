package containerd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// content is what an image is made of. It is immutable: a digest always means the same.
type content struct {
	id           string // the configuration's digest, or the target's if the manifest is missing
	identified   bool   // the manifest was found
	complete     bool   // nothing was missing
	mediaType    string // of the manifest
	size         int64  // of the configuration and the layers as they are stored, compressed
	os           string
	osVersion    string
	architecture string
	variant      string
	labels       map[string]string
	layers       []workloadmeta.ContainerImageLayer
}

// descriptor points to a blob (OCI image specification).
type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	URLs      []string  `json:"urls"`
	Platform  *platform `json:"platform"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	OSVersion    string `json:"os.version"`
	Variant      string `json:"variant"`
}

// manifest is an image's manifest or, if it has Manifests, an index of those for several platforms.
type manifest struct {
	MediaType string       `json:"mediaType"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

// imageConfig is what is read of an image's configuration. It has an environment in it, which is
// not.
type imageConfig struct {
	platform
	Config struct {
		Labels map[string]string
	} `json:"config"`
	History []struct {
		Created    *time.Time `json:"created"`
		CreatedBy  string     `json:"created_by"`
		Author     string     `json:"author"`
		Comment    string     `json:"comment"`
		EmptyLayer bool       `json:"empty_layer"`
	} `json:"history"`
}

// maxBlob is the largest manifest or configuration that is read, in bytes.
const maxBlob = 4 << 20

// maxIndexes bounds how deep indexes may contain indexes.
const maxIndexes = 3

// blobs reads what a descriptor points to. A blob that is not there is an error for which
// errdefs.IsNotFound is true.
type blobs func(ctx context.Context, d descriptor) ([]byte, error)

// reader finds out what an image is made of.
type reader struct {
	platform platforms.MatchComparer
	allowed  func(variable string) bool // which values may be in the history
}

// read returns what the target of an image's name leads to. What is missing, because it was
// collected as garbage or is fetched only when it is needed, is left out; only an error of another
// kind is one.
func (r *reader) read(ctx context.Context, target descriptor, blobs blobs) (*content, error) {
	c := &content{id: target.Digest, mediaType: target.MediaType}
	d, m, err := r.manifest(ctx, target, blobs, 0)
	if errdefs.IsNotFound(err) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	c.identified = true
	c.mediaType = cmp.Or(m.MediaType, d.MediaType)
	if isImageConfig(m.Config.MediaType) {
		c.id = m.Config.Digest
	}
	c.size = m.Config.Size
	for _, l := range m.Layers {
		c.size += l.Size
		c.layers = append(c.layers,
			workloadmeta.ContainerImageLayer{MediaType: l.MediaType, Digest: l.Digest,
				SizeBytes: l.Size, URLs: l.URLs})
	}
	if d.Platform != nil {
		c.setPlatform(d.Platform)
	}
	text, err := blobs(ctx, *m.Config)
	if errdefs.IsNotFound(err) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	var config imageConfig
	if err := mapping.LenientJSON(json.Unmarshal(text, &config)); err != nil {
		c.complete = true // it will never be better
		return c, nil
	}
	c.setPlatform(&config.platform)
	c.labels = config.Config.Labels
	var history []mapping.HistoryEntry
	for _, h := range config.History {
		step := mapping.HistoryEntry{CreatedBy: h.CreatedBy, Author: h.Author, Comment: h.Comment,
			EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			step.Created = *h.Created
		}
		history = append(history, step)
	}
	c.layers = mapping.PairLayers(history, c.layers, r.allowed)
	c.complete = true
	return c, nil
}

// setPlatform overlays what is known of the platform.
func (c *content) setPlatform(p *platform) {
	c.os, c.osVersion = cmp.Or(p.OS, c.os), cmp.Or(p.OSVersion, c.osVersion)
	c.architecture, c.variant = cmp.Or(p.Architecture, c.architecture), cmp.Or(p.Variant, c.variant)
}

// What is no manifest or configuration counts as one that is missing.
var (
	errNoManifest = fmt.Errorf("no manifest: %w", errdefs.ErrNotFound)
	errTooLarge   = fmt.Errorf("larger than %d bytes: %w", maxBlob, errdefs.ErrNotFound)
)

// isImageConfig reports whether a configuration is that of an image. Those of other things that
// registries hold are often empty, and would make all of them one.
func isImageConfig(mediaType string) bool {
	switch mediaType {
	case "", "application/vnd.oci.image.config.v1+json",
		"application/vnd.docker.container.image.v1+json":
		return true
	}
	return false
}

// manifest finds the manifest for this machine's platform, or, if there is none for it, for any:
// somebody has fetched it for a reason.
func (r *reader) manifest(ctx context.Context, d descriptor, blobs blobs, depth int) (descriptor,
	*manifest, error) {
	text, err := blobs(ctx, d)
	if err != nil {
		return d, nil, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	m := new(manifest)
	if err := mapping.LenientJSON(json.Unmarshal(text, m)); err != nil {
		return d, nil, fmt.Errorf("decode manifest %s: %w: %w", d.Digest, errNoManifest, err)
	}
	if len(m.Manifests) == 0 {
		if m.Config == nil || m.Config.Digest == "" {
			return d, nil, fmt.Errorf("manifest %s has no configuration: %w", d.Digest,
				errNoManifest)
		}
		return d, m, nil
	}
	if depth >= maxIndexes {
		return d, nil, fmt.Errorf("indexes within indexes at %s: %w", d.Digest, errNoManifest)
	}
	missing := error(errNoManifest)
	for _, candidate := range r.order(m.Manifests) {
		d, m, err := r.manifest(ctx, candidate, blobs, depth+1)
		if err == nil || !errdefs.IsNotFound(err) {
			return d, m, err
		}
		missing = err
	}
	return d, nil, missing
}

// order returns the manifests of an index, the most fitting first, without those that are no
// images.
func (r *reader) order(all []descriptor) []descriptor {
	var fits, others []descriptor
	for _, d := range all {
		switch p := d.Platform; {
		case p == nil:
			others = append(others, d)
		// what a builder attests about an image
		case p.OS == "unknown" || p.Architecture == "unknown":
		case r.platform.Match(p.spec()):
			fits = append(fits, d)
		default:
			others = append(others, d)
		}
	}
	// There are few; the first of equals stays first.
	for i := 1; i < len(fits); i++ {
		for j := i; j > 0 &&
			r.platform.Less(fits[j].Platform.spec(), fits[j-1].Platform.spec()); j-- {
			fits[j], fits[j-1] = fits[j-1], fits[j]
		}
	}
	if len(others) > maxOtherPlatforms {
		others = others[:maxOtherPlatforms]
	}
	return append(fits, others...)
}

// maxOtherPlatforms bounds how many manifests for other platforms are tried, each of which is a
// request.
const maxOtherPlatforms = 16

func (p *platform) spec() platforms.Platform {
	return platforms.Platform{OS: p.OS, OSVersion: p.OSVersion, Architecture: p.Architecture,
		Variant: p.Variant}
}
