package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// find returns the entity of a kind that somebody means by an ID, a name, a namespace and name, or
// the first characters of an ID.
func (e *engine) find(kind workloadmeta.Kind, text string) (workloadmeta.Entity, error) {
	if entity, err := e.store.Get(workloadmeta.EntityID{Kind: kind, ID: text}); err == nil {
		return entity, nil
	}
	if kind == workloadmeta.KindProcess {
		if _, err := strconv.ParseUint(text, 10, 31); err == nil {
			return nil, notFoundf("no process %s%s", text, e.why([]workloadmeta.Kind{kind}))
		}
	}
	var named, begun []workloadmeta.Entity
	for entity := range e.store.List(kind) {
		switch id := entity.GetID().ID; {
		case slices.Contains(namesOf(entity), text):
			named = append(named, entity)
		case len(text) >= workloadmeta.MinIDPrefix && kind != workloadmeta.KindProcess &&
			(strings.HasPrefix(id, text) || strings.HasPrefix(id, "sha256:"+text)):
			begun = append(begun, entity)
		}
	}
	found := named
	if len(found) == 0 {
		found = begun
	}
	switch len(found) {
	case 0:
		return nil, notFoundf("no %s with the ID or name %q%s", kind, text,
			e.why([]workloadmeta.Kind{kind}))
	case 1:
		return found[0], nil
	}
	var candidates []string
	for _, entity := range found {
		line := shortID(entity.GetID().ID)
		if name := nameOf(entity); name != "" && name != text {
			line += " (" + name + ")"
		}
		candidates = append(candidates, line)
	}
	slices.SortFunc(candidates, compareIDs)
	if more := len(candidates) - 10; more > 0 {
		candidates = append(candidates[:10], fmt.Sprintf("%d more", more))
	}
	return nil, fmt.Errorf("%q is ambiguous: there are %d of kind %s: %s", text, len(found), kind,
		strings.Join(candidates, ", "))
}

// namesOf returns what an entity is called beside its ID.
func namesOf(entity workloadmeta.Entity) []string {
	var names []string
	switch t := entity.(type) {
	case *workloadmeta.Process:
		names = []string{t.Name, t.Comm}
	case *workloadmeta.ContainerImageMetadata:
		names = slices.Concat(t.RepoTags, t.RepoDigests, []string{t.Name})
	case *workloadmeta.ECSTask:
		names = []string{t.Name, t.ID[strings.LastIndex(t.ID, "/")+1:], t.Family,
			t.Family + ":" + t.Version}
	case interface {
		Meta() *workloadmeta.EntityMeta
	}:
		m := t.Meta()
		names = []string{m.Name, qualified(m.Namespace, m.Name)}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// serviceSchemes are the schemes of service IDs and what they stand for. The names of container
// runtimes stand for containers.
var serviceSchemes = map[string]string{
	"docker": tagger.PrefixContainer, "containerd": tagger.PrefixContainer,
	"cri-o":  tagger.PrefixContainer,
	"podman": tagger.PrefixContainer, "garden": tagger.PrefixContainer,
	"ecsfargate": tagger.PrefixContainer,
	"container":  tagger.PrefixContainer, "kubernetes_pod": tagger.PrefixKubernetesPod,
}

// entityID returns the tagger's entity that somebody means: by an entity ID, by an ID as services
// have it (docker://…), or by the name or the beginning of the ID of a container or a pod.
func (e *engine) entityID(text string) (tagger.EntityID, error) {
	prefix, rest, ok := strings.Cut(text, "://")
	if !ok {
		return e.bare(text)
	}
	if p, service := serviceSchemes[prefix]; service {
		prefix = p
	}
	id, err := tagger.ParseEntityID(prefix + "://" + rest)
	if err != nil {
		return "", usageError{err}
	}
	if prefix == tagger.PrefixContainer &&
		e.tagger.Explain(id).Completeness == tagger.Unknown.String() {
		// People copy short IDs.
		if c, err := e.store.GetContainerByPrefix(rest); err == nil {
			return tagger.Container(c.ID), nil
		}
	}
	return id, nil
}

// bare returns the entity of a container or a pod that is called this.
func (e *engine) bare(text string) (tagger.EntityID, error) {
	if text == "" {
		return "", usagef("empty entity ID; want <prefix>://<id>, or a container's name")
	}
	for _, kind := range []workloadmeta.Kind{workloadmeta.KindContainer,
		workloadmeta.KindKubernetesPod} {
		entity, err := e.find(kind, text)
		if err == nil {
			return extract.TaggerID(entity.GetID()), nil
		}
		if _, missing := errors.AsType[notFoundError](err); !missing {
			return "", err
		}
	}
	// What is gone may still have tags.
	var gone []tagger.EntityID
	for _, known := range e.tagger.List() {
		if known.ID.ID() == text || known.ID.Prefix() == tagger.PrefixContainer &&
			slices.Contains(known.HighCardTags, "container_name:"+text) ||
			len(text) >= workloadmeta.MinIDPrefix && known.ID.Prefix() == tagger.PrefixContainer &&
				strings.HasPrefix(known.ID.ID(), text) {
			gone = append(gone, known.ID)
		}
	}
	switch len(gone) {
	case 0:
		return "", notFoundf(
			"no container or pod with the ID or name %q%s; other entities are asked for as <prefix>://<id>", text,
			e.why([]workloadmeta.Kind{workloadmeta.KindContainer}))
	case 1:
		return gone[0], nil
	}
	names := make([]string, len(gone))
	for i, id := range gone {
		names[i] = string(id)
	}
	return "", fmt.Errorf("%q is ambiguous: %s", text, strings.Join(names, ", "))
}
