package scripts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// kinds are short names of kinds.
var kinds = map[string]workloadmeta.Kind{
	"pod": workloadmeta.KindKubernetesPod, "image": workloadmeta.KindContainerImage,
	"task": workloadmeta.KindECSTask, "deployment": workloadmeta.KindKubernetesDeployment,
	"service": workloadmeta.KindKubernetesService,
}

// parseID reads "container/web" or, for short, "pod/p1".
func parseID(text string) (workloadmeta.EntityID, error) {
	kind, id, ok := strings.Cut(text, "/")
	if !ok || id == "" {
		return workloadmeta.EntityID{}, fmt.Errorf("want KIND/ID, have %q", text)
	}
	if k, ok := kinds[kind]; ok {
		return workloadmeta.EntityID{Kind: k, ID: id}, nil
	}
	k, err := workloadmeta.ParseKind(kind)
	return workloadmeta.EntityID{Kind: k, ID: id}, err
}

// fields of an entity by their JSON names.
type fields map[string]any

// parseEntity makes an entity of its ID and fields like "name=web", "state.exit_code=3" or
// "labels.com.example/team=blue", or short forms of them.
func parseEntity(id workloadmeta.EntityID, words []string) (workloadmeta.Entity, error) {
	all := fields{}
	for _, word := range words {
		more, err := parseField(id, word)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		all.merge(more)
	}
	return all.entity(id)
}

// merge adds fields to those there are.
func (f fields) merge(more fields) {
	for name, value := range more {
		have, ok := f[name].(fields)
		if into, too := value.(fields); ok && too {
			have.merge(into)
		} else {
			f[name] = value
		}
	}
}

func (f fields) entity(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	whole := maps.Clone(f)
	whole["kind"], whole["id"] = id.Kind, id.ID
	data, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	e, unknown, err := workloadmeta.UnmarshalEntity(data)
	if err == nil && len(unknown) > 0 {
		err = fmt.Errorf("%s has no field %s", id.Kind, strings.Join(unknown, ", "))
	}
	return e, err
}

// parseField reads one field.
func parseField(id workloadmeta.EntityID, word string) (fields, error) {
	name, value, ok := strings.Cut(word, "=")
	if !ok {
		if id.Kind != workloadmeta.KindContainer {
			return nil, fmt.Errorf("want FIELD=VALUE, have %q", word)
		}
		return fields{"state": fields{"status": word, "running": word == "running"}}, nil
	}
	switch {
	case name == "exit":
		return fields{"state": fields{"exit_code": json.RawMessage(value), "status": "stopped",
			"running": false}}, nil
	case name == "image" && !strings.HasPrefix(value, "{"):
		ref, err := image.ForContainer(value)
		if err != nil {
			return nil, err
		}
		return fields{"image": fields{"raw_name": value, "name": ref.Name,
			"registry": ref.Registry, "short_name": ref.ShortName, "tag": ref.Tag}}, nil
	case name == "owner" && !strings.HasPrefix(value, "{"):
		owner, err := parseID(value)
		return fields{"owner": owner}, err
	case name == "containers" && !strings.HasPrefix(value, "["):
		var list []fields
		for item := range strings.SplitSeq(value, ",") {
			cid, of, _ := strings.Cut(item, ":")
			list = append(list, fields{"id": cid, "name": cmp.Or(of, cid)})
		}
		return fields{"containers": list}, nil
	}
	path := strings.Split(name, ".")
	switch path[0] {
	case "labels", "annotations", "env", "namespace_labels", "namespace_annotations":
		path = strings.SplitN(name, ".", 2) // keys of these maps have dots
	}
	// Text needs no quotation marks. What could be a number as well is what the field wants.
	f, err := nest(path, value).check(id)
	if err != nil && json.Valid([]byte(value)) {
		return nest(path, json.RawMessage(value)).check(id)
	}
	return f, err
}

// nest returns the field with this path.
func nest(path []string, value any) fields {
	f := fields{path[len(path)-1]: value}
	for i := len(path) - 2; i >= 0; i-- {
		f = fields{path[i]: f}
	}
	return f
}

// check returns the fields if the kind has them and they are of the right types.
func (f fields) check(id workloadmeta.EntityID) (fields, error) {
	_, err := f.entity(id)
	return f, err
}

// change is one line of what a reporter says.
type change struct {
	reporter string // or "": whoever has the source of the event
	event    workloadmeta.CollectorEvent
}

// parseChange reads "docker container/web name=web running" or "docker gone container/web exit=3".
func parseChange(words []string) (c change, err error) {
	event := workloadmeta.Set
	if len(words) > 1 && words[1] == "gone" {
		words = append(words[:1:1], words[2:]...)
		event = workloadmeta.Unset
	}
	if len(words) < 2 {
		return c, fmt.Errorf("want REPORTER [gone] KIND/ID [FIELD=VALUE ...], have %q",
			strings.Join(words, " "))
	}
	id, err := parseID(words[1])
	if err != nil {
		return c, err
	}
	e, err := parseEntity(id, words[2:])
	if err != nil {
		return c, err
	}
	return change{words[0], event(e)}, nil
}
