// Command gendocs writes the tag reference, docs/tags.md, from the definitions that
// the tagger makes tags by.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

//go:generate go run . ../../docs/tags.md

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendocs <file>")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], reference(), 0o644); err != nil {
		fmt.Fprintf(os.Stderr, "gendocs: %v\n", err)
		os.Exit(1)
	}
}

const preamble = `# Tags

<!-- Written by "go run tasks.go gen" from the definitions in comp/tagger/extract. Do not edit. -->

Every tag that rollcall makes by itself, by the kind of entity that carries it. *Low*, *orchestrator* and *high* are the
cardinality: a query at one level returns that level and those below it. *Standard* tags (env, service, version) are also
returned by a query of their own. **From** is the field of the entity, under the name it has in ` + "`rollcall get -o json`" + `.
A tag is made only if its field is set.

Between sources of different priority the tags of one name are taken from the stronger one: what a pod or task says about
its container hides what the runtime says. ` + "`rollcall explain <entity-id>`" + ` shows for each tag of a live entity which
rule made it and what it hides.

On Kubernetes a pod and its containers also have tags of what they belong to. Where several levels give tags of one name:

1. What the pod says of the container and of itself, its owners, its services and its queues
   included: all values count, and hide what the runtime says under that name.
2. What the container says of itself, for the names that are left.
3. Labels and annotations of the namespace, for the names that are left.
4. Labels and annotations of the node, for the names that are left.

So a label ` + "`team`" + ` of a namespace is the default for its pods, and one of the node the default for everything on it. A pod whose
namespace is still to be told of, by a collector that was detected and tells of namespaces, is ` + "`partial`" + ` while a rule names namespaces.

What cannot be told is not waited for: where the collector may not list namespaces, nodes or services, a pod is complete without their tags once all
else is listed, so that nobody who waits for its tags waits for a right that nobody grants. ` + "`rollcall explain`" + ` names what is missing, and the right.

Tags of your own choice come from labels, annotations and environment variables: see [configuration](configuration.md).
Where rollcall's tags differ from those that the Datadog Agent makes, [deviations](deviations.md) says how and why.
`

func reference() []byte {
	var out bytes.Buffer
	out.WriteString(preamble)
	var kinds []string
	byKind := map[string][]extract.Definition{}
	for _, d := range extract.Definitions() {
		for _, kind := range d.Kinds {
			name := kind.String()
			if _, ok := byKind[name]; !ok {
				kinds = append(kinds, name)
			}
			byKind[name] = append(byKind[name], d)
		}
	}
	for _, kind := range kinds {
		fmt.Fprintf(&out,
			"\n## %s\n\n| Tag | Cardinality | Value | From | When |\n|---|---|---|---|---|\n", kind)
		for _, d := range byKind[kind] {
			level := d.Cardinality.String()
			if d.Standard {
				level += ", standard"
			}
			field := "–"
			if d.Field != "" {
				field = "`" + d.Field + "`"
				if owner := fieldOwner(d, kind); owner != "" {
					field += " of its " + owner
				}
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", d.Name, level, cell(d.Doc),
				cell(field), cell(d.Condition))
		}
	}
	return out.Bytes()
}

// fieldOwner returns the kind of entity that a definition's field belongs to, where that
// is not the one that carries the tag: the first of the definition's kinds.
func fieldOwner(d extract.Definition, kind string) string {
	owner := d.Kinds[0]
	switch kind {
	case workloadmeta.KindContainer.String(), workloadmeta.KindKubernetesPod.String(),
		workloadmeta.KindProcess.String():
	default:
		return "" // the others are described by fields of their own
	}
	if d.Field == "namespace" {
		owner = workloadmeta.KindKubernetesPod // queues have one, too, but theirs is not passed on
	}
	if owner.String() == kind {
		return ""
	}
	return owner.String()
}

// cell escapes what would end a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
