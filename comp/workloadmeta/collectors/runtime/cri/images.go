package cri

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// images is what is known of the runtime's images.
type images struct {
	known    map[string]*knownImage // by ID
	byDigest map[string]string      // digest, whatever the repository and the tag → ID
	// missing are images of containers that the last list does not have. They are no reason to ask
	// for another.
	missing map[string]bool
	next    time.Time // of the next list; zero = there has been none
	tries   tries
}

type knownImage struct {
	names  mapping.ImageNames
	size   int64
	detail *imageDetail // nil = not asked for yet
	tries  tries
	entity *workloadmeta.ContainerImageMetadata
}

func newImages() images {
	return images{known: map[string]*knownImage{}, byDigest: map[string]string{},
		missing: map[string]bool{}}
}

// idOf returns the ID of a container's image: the first that is one, or else that of the image with
// its digest. A tag is no way to find it, because it may have moved to another image
// since.
func (i *images) idOf(given []imageNames) string {
	for _, n := range given {
		for _, s := range []string{n.id, n.name, n.ref} {
			if id := mapping.ImageID(s); mapping.IsFullImageID(id) {
				return id
			}
		}
	}
	for _, n := range given {
		for _, s := range []string{n.ref, n.name, n.id} {
			if id := i.byDigest[mapping.Digest(s)]; id != "" {
				return id
			}
		}
	}
	return ""
}

// names returns what is known of an image's names, nil if nothing.
func (i *images) names(id string) *mapping.ImageNames {
	if k := i.known[id]; k != nil {
		return &k.names
	}
	return nil
}

// reference is what a container's entry in the list says of its image, to tell whether the image is
// known.
func (i *images) reference(k *container) string {
	if id := i.idOf([]imageNames{k.listed.image}); id != "" {
		return id
	}
	return k.listed.image.ref
}

// due reports whether images have to be listed.
func (i *images) due(c *Collector, now time.Time) bool {
	if !i.tries.due(now) {
		return false
	}
	if !c.opts.NoImages && !now.Before(i.next) {
		return true
	}
	for _, k := range c.containers {
		if ref := i.reference(k); ref != "" && i.known[ref] == nil && !i.missing[ref] {
			return true
		}
	}
	return false
}

func (i *images) listJob(c *Collector, r *client) job {
	return job{&i.tries, func(ctx context.Context, timeout time.Duration) (func(), error) {
		list, err := r.listImages(ctx, timeout)
		if err != nil {
			return nil, err
		}
		return func() { i.take(c, list) }, nil
	}}
}

// take notes a list of images and forgets what is not in it.
func (i *images) take(c *Collector, list []*runtimeapi.Image) {
	type entry struct {
		tags, digests []string
		size          int64
	}
	listed := map[string]*entry{}
	unreadable := 0
	for _, in := range list {
		id := mapping.ImageID(in.GetId())
		if id == "" {
			unreadable++
			continue
		}
		e := listed[id]
		if e == nil {
			e = &entry{}
			listed[id] = e
		}
		// With several runtime handlers one image may be there more than once.
		e.tags, e.digests = append(e.tags, in.GetRepoTags()...), append(e.digests,
			in.GetRepoDigests()...)
		e.size = max(e.size, int64(min(in.GetSize(), 1<<62)))
	}
	clear(i.byDigest)
	for id, e := range listed {
		k := i.known[id]
		if k == nil {
			k = &knownImage{}
			i.known[id] = k
		}
		k.names, k.size = mapping.NewImageNames(id, e.tags, e.digests), e.size
		k.build()
		for _, digest := range k.names.Digests {
			i.byDigest[mapping.Digest(digest)] = id
		}
	}
	maps.DeleteFunc(i.known, func(id string, _ *knownImage) bool { return listed[id] == nil })
	clear(i.missing)
	for _, k := range c.containers {
		if ref := i.reference(k); ref != "" && i.known[ref] == nil {
			i.missing[ref] = true
		}
	}
	i.next = c.now().Add(c.opts.ImagePeriod)
	c.counters.update(func(s *Stats) {
		s.LastImageList = time.Now()
		s.DecodeErrors += unreadable
	})
}

// build makes the image's entity anew if it has changed.
func (k *knownImage) build() {
	e := k.names.NewImage()
	e.SizeBytes = k.size
	if d := k.detail; d != nil {
		e.OS, e.OSVersion, e.Architecture, e.Variant, e.Layers = d.os, d.osVersion, d.architecture,
			d.variant, d.layers
		e.Labels = d.labels
	}
	if k.entity == nil || !k.entity.Equal(e) {
		k.entity = e
	}
}

// imageJobs are the images that have not been asked for. Those that containers use come first:
// their labels are the containers', too.
func (c *Collector) imageJobs(r *client, now time.Time) []job {
	used := map[string]bool{}
	for _, k := range c.containers {
		used[c.images.reference(k)] = true
	}
	var first, rest []job
	for _, id := range slices.Sorted(maps.Keys(c.images.known)) {
		k := c.images.known[id]
		if k.detail != nil || !k.tries.due(now) {
			continue
		}
		j := job{&k.tries, func(ctx context.Context, timeout time.Duration) (func(), error) {
			answer, err := r.imageStatus(ctx, timeout, id)
			if err != nil {
				return nil, err
			}
			d, err := c.decodeImage(answer.Info, &c.opts)
			c.unreadable("image", id, err)
			return func() {
				k.detail = &d
				k.build()
			}, nil
		}}
		if used[id] {
			first = append(first, j)
		} else if !c.opts.NoImages {
			rest = append(rest, j)
		}
	}
	return append(first, rest...)
}
