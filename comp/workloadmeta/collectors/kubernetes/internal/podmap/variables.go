package podmap

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// variables returns the variables that may be kept, as the container sees them: references to
// variables before them are resolved, as are fields of the pod. A variable whose value comes from
// elsewhere (a secret, a config map) is not known here, and neither is one that refers to it.
func (m *Mapper) variables(list []object.EnvVar, pod *object.Pod) map[string]string {
	var kept map[string]string
	known := make(map[string]string, len(list))
	later := make(map[string]int, len(list)) // how often a name is still to come
	for _, v := range list {
		later[v.Name]++
	}
	for _, v := range list {
		later[v.Name]--
		value, ok := "", false
		switch {
		case v.ValueFrom == nil:
			value, ok = expand(v.Value, known, later)
		case v.ValueFrom.FieldRef != nil:
			value, ok = fieldOf(pod, v.ValueFrom.FieldRef.FieldPath)
		}
		delete(kept, v.Name) // of several the last counts
		if !ok {
			delete(known, v.Name)
			continue
		}
		known[v.Name] = value
		if m.env.Allowed(v.Name) {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[v.Name] = value
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// expand resolves references, $(NAME), to variables that are known. "$$" is a dollar sign. A
// reference to a variable that is only defined later stays as it is written, for the container as
// well; one to a variable that is not known here makes the value unknown.
//
// Source: the field env of containers, in the reference of Kubernetes' API.
func expand(text string, known map[string]string, later map[string]int) (string, bool) {
	if !strings.Contains(text, "$") {
		return text, true
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch text[i+1] {
		case '$':
			out.WriteByte('$')
			i++
			continue
		case '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				break
			}
			name := text[i+2 : i+end]
			value, ok := known[name]
			switch {
			case ok:
				out.WriteString(value)
			case later[name] > 0:
				out.WriteString(text[i : i+end+1])
			default:
				return "", false
			}
			i += end
			continue
		}
		out.WriteByte('$')
	}
	return out.String(), true
}

// fieldOf returns a field of the pod that a variable may be made of, if it is known here.
func fieldOf(p *object.Pod, path string) (string, bool) {
	if name, key, ok := strings.Cut(path, "['"); ok {
		key, ok = strings.CutSuffix(key, "']")
		switch {
		case ok && name == "metadata.labels":
			return p.Meta.Labels[key], true
		case ok && name == "metadata.annotations":
			return p.Meta.Annotations[key], true
		}
		return "", false
	}
	value := ""
	switch path {
	case "metadata.name":
		value = p.Meta.Name
	case "metadata.namespace":
		value = p.Meta.Namespace
	case "metadata.uid":
		value = p.Meta.UID
	case "spec.nodeName":
		value = p.Spec.NodeName
	case "status.podIP":
		value = p.Status.PodIP
	case "status.hostIP":
		value = p.Status.HostIP
	}
	return value, value != ""
}
