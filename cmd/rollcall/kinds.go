package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// short are the names of kinds that people type, beside the full ones and their plurals.
var short = map[string]workloadmeta.Kind{
	"containers": workloadmeta.KindContainer, "c": workloadmeta.KindContainer,
	"pod": workloadmeta.KindKubernetesPod, "pods": workloadmeta.KindKubernetesPod,
	"process": workloadmeta.KindProcess, "processes": workloadmeta.KindProcess,
	"ps":    workloadmeta.KindProcess,
	"image": workloadmeta.KindContainerImage, "images": workloadmeta.KindContainerImage,
	"task": workloadmeta.KindECSTask, "tasks": workloadmeta.KindECSTask,
	"deployment":  workloadmeta.KindKubernetesDeployment,
	"deployments": workloadmeta.KindKubernetesDeployment,
	"metadata":    workloadmeta.KindKubernetesMetadata, "gpus": workloadmeta.KindGPU,
	"hosts": workloadmeta.KindHost,
	"crds":  workloadmeta.KindCRD,
}

// usual are the kinds that ls lists when none is named: what runs.
func usual() []workloadmeta.Kind {
	return []workloadmeta.Kind{
		workloadmeta.KindContainer, workloadmeta.KindKubernetesPod, workloadmeta.KindECSTask,
		workloadmeta.KindProcess,
	}
}

// parseKind reads a kind from the command line.
func parseKind(text string) (workloadmeta.Kind, error) {
	lower := strings.ToLower(text)
	if kind, ok := short[lower]; ok {
		return kind, nil
	}
	for _, name := range []string{lower, strings.TrimSuffix(lower, "s")} {
		if kind, err := workloadmeta.ParseKind(name); err == nil {
			return kind, nil
		}
	}
	return 0, usagef("unknown kind %q (want %s)", text, strings.Join(kindNames(), ", "))
}

func parseKinds(args []string) ([]workloadmeta.Kind, error) {
	var kinds []workloadmeta.Kind
	for _, arg := range args {
		for part := range strings.SplitSeq(arg, ",") {
			kind, err := parseKind(part)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds, nil
}

// kindNames are the names to propose: the short one where there is one.
func kindNames() []string {
	names := []string{"container", "pod", "task", "process", "image", "deployment", "metadata"}
	for _, kind := range workloadmeta.Kinds() {
		if !slices.ContainsFunc(names,
			func(n string) bool {
				k, ok := short[n]
				return n == kind.String() || ok &&
					k == kind
			}) {
			names = append(names, kind.String())
		}
	}
	return names
}

func completeKinds(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return kindNames(), cobra.ShellCompDirectiveNoFileComp
}
