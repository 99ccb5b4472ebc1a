package rules

import "github.com/rollcall-dev/rollcall/pkg/image"

// PodAnnotations returns the rules by which the author of a pod leaves its containers out,
// all of them or one by its name.
func PodAnnotations() []Rule {
	var list []Rule
	for _, p := range []struct {
		purpose Purpose
		suffix  string
	}{{Everything, "exclude"}, {Metrics, "metrics_exclude"}, {Logs, "logs_exclude"}} {
		for _, key := range []string{"ad.datadoghq.com/" + p.suffix,
			"ad.datadoghq.com/%%name%%." + p.suffix} {
			list = append(list, Rule{
				Name: "pod annotation", Where: Builtin.String(), Origin: Builtin, Action: Exclude,
				Purpose: p.purpose,
				// How Go writes true, as it has always been.
				When: []Condition{
					{Annotation, key, []string{"1", "t", "T", "true", "TRUE", "True"}}},
			})
		}
	}
	return list
}

// Pause returns the rules that leave out the pause containers of pods. They belong at the
// end of the list, where no other rule undoes them.
//
// Collectors keep pause containers out of the store by the same signs; the rules catch
// those that get there otherwise, from a recording for one.
func Pause() []Rule {
	exclude := func(when ...Condition) Rule {
		return Rule{Name: "pause containers", Where: Builtin.String() + ", exclude_pause_container",
			Origin: Builtin, Action: Exclude, When: when}
	}
	return []Rule{
		exclude(Condition{Label, "io.kubernetes.docker.type", []string{"podsandbox"}}),
		exclude(Condition{Label, "io.cri-containerd.kind", []string{"sandbox"}}),
		exclude(Condition{Label, "io.kubernetes.container.name", []string{"POD"}}),
		exclude(Condition{Label, "io.kubernetes.pod.name", []string{"*"}},
			Condition{Label, "io.kubernetes.container.name", []string{""}}),
		exclude(Condition{Image, "", []string{"/" + image.PausePattern + "/"}}),
		exclude(Condition{Name, "", []string{image.ECSInternal + "*"}}),
		exclude(Condition{Label, "com.amazonaws.ecs.container-name",
			[]string{image.ECSInternal + "*"}}),
	}
}
