package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) getCommand() *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   "get [kind] <id|name>",
		Short: "Show everything known about one entity",
		Long: `Show everything known about one entity, with its tags. The entity is named by its
ID, the first characters of it, its name, its namespace and name, or an ID of the tagger
(container_id://…) or of a service (docker://…). Without a kind it is looked for among all;
among several of one name a container comes first, then a pod, a task, a deployment, an image, a
process.

Kinds: ` + strings.Join(inspect.KindNames(), ", "),
		Example: `  rollcall get web
  rollcall get pod shop/cart-0 -o yaml
  rollcall get po/cart-0 -n shop
  rollcall get process 4242`,
		Args:              args(1, 2, "a kind, if you like, and an ID or a name"),
		ValidArgsFunction: a.completeEntity,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := parseName(args, namespace)
			if err != nil {
				return err
			}
			r := inspect.GetRequest{Name: name}
			if r.Cardinality, err = a.cardinality(tagger.LowCardinality); err != nil {
				return err
			}
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			entity, err := e.ask.Get(cmd.Context(), r)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(entity)
			}
			return a.describe(entity)
		},
	}
	namespaceFlag(cmd, &namespace)
	return cmd
}

// namespaceFlag adds the flag that says where what is named is.
func namespaceFlag(cmd *cobra.Command, namespace *string) {
	cmd.Flags().StringVarP(namespace, "namespace", "n", "",
		"the namespace of Kubernetes that it is in")
}

// parseName reads how a command names one entity: with its kind before it, as a word of its own
// or with a slash, or alone.
func parseName(args []string, namespace string) (inspect.Name, error) {
	class, err := inspect.ParseClass(args[0])
	if len(args) == 1 {
		if err == nil {
			return inspect.Name{},
				usagef("want an ID or a name after the kind %s; \"rollcall ls %s\""+
					" lists them", args[0], args[0])
		}
		kind, text, _ := strings.Cut(args[0], "/")
		if class, err := inspect.ParseClass(kind); err == nil && text != "" && namespace != "" {
			return nameOf(class, text, namespace), nil
		}
		return nameOf(inspect.Class{}, args[0], namespace), nil
	}
	if err == nil && args[1] == "" {
		err = usagef("the ID or name is empty")
	}
	return nameOf(class, args[1], namespace), err
}

// nameOf returns how something is called in a namespace, if that is known.
func nameOf(class inspect.Class, text, namespace string) inspect.Name {
	if namespace != "" && class.Resource == "" && !strings.Contains(text, "/") {
		text = namespace + "/" + text
	}
	return inspect.Name{Kind: class.Kind, Resource: class.Resource, Text: text}
}

// describe prints an entity for people: each field that has a value on a line of its own.
func (a *app) describe(e inspect.Entity) error {
	fields, err := inspect.Fields(e)
	if err != nil {
		return fmt.Errorf("describe %s: %w", e.Workload.GetID(), err)
	}
	t := &table{columns: []tableColumn{{title: "FIELD", fixed: true}, {title: "VALUE"}}}
	for _, f := range fields {
		if f.Name == "tags" {
			continue // one on each line, below
		}
		t.rows = append(t.rows, []string{f.Name, f.Value})
	}
	for i, tag := range e.Tags {
		name := ""
		if i == 0 {
			name = "tags"
		}
		t.rows = append(t.rows, []string{name, tag})
	}
	return a.printTable(t)
}

// completionTimeout bounds what shell completion may take.
const completionTimeout = 1500 * time.Millisecond

// proposals asks for what the shell proposes: names, IDs where there is none.
func (a *app) proposals(ctx context.Context, classes ...inspect.Class) (list []string) {
	a.completing = true
	a.timeout = min(a.timeout, completionTimeout)
	e, err := a.open(ctx, false)
	if err != nil {
		return nil
	}
	defer e.close()
	r := inspect.ListRequest{All: true}
	for _, class := range classes {
		r.Kinds = append(r.Kinds, class.Kind)
		if class.Resource != "" {
			r.Resources = append(r.Resources, class.Resource)
		}
	}
	found, err := e.ask.List(ctx, r)
	if err != nil {
		return nil
	}
	for _, entity := range found.Entities {
		id := entity.Workload.GetID()
		short := inspect.ShortID(id.ID)
		switch name := inspect.NameOf(entity.Workload); {
		case id.Kind == workloadmeta.KindProcess:
			list = append(list, cobra.CompletionWithDesc(short, clean(name)))
		case name != "" && !strings.ContainsAny(name, " \t\n"):
			list = append(list, cobra.CompletionWithDesc(name, short))
		default:
			list = append(list, short)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// completeEntity completes a kind, if there is one, and a name.
func (a *app) completeEntity(cmd *cobra.Command, args []string, _ string) ([]string,
	cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return append(inspect.KindNames(), a.proposals(cmd.Context(),
				inspect.Class{Kind: workloadmeta.KindContainer},
				inspect.Class{Kind: workloadmeta.KindKubernetesPod},
				inspect.Class{Kind: workloadmeta.KindECSTask})...),
			cobra.ShellCompDirectiveNoFileComp
	case 1:
		if class, err := inspect.ParseClass(args[0]); err == nil {
			return a.proposals(cmd.Context(), class), cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeKindsAndNames completes kinds, and after one the names of its entities.
func (a *app) completeKindsAndNames(cmd *cobra.Command, args []string, _ string) ([]string,
	cobra.ShellCompDirective) {
	list := inspect.KindNames()
	if asked, err := parseKinds(args); err == nil && len(asked.kinds) > 0 {
		list = append(list, a.proposals(cmd.Context(), classes(inspect.ListRequest{
			Kinds: asked.kinds, Narrowing: inspect.Narrowing{Resources: asked.resources}})...)...)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
