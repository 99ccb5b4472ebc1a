package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) lsCommand() *cobra.Command {
	var all bool
	var image string
	var filters []string
	var n narrowing
	cmd := &cobra.Command{
		Use:     "ls [kind…] [name…]",
		Aliases: []string{"list"},
		Short:   "List what runs here, with its tags",
		Long: `List what runs here, with its tags: containers, pods, tasks and processes, or the
kinds that are named; of those, what has one of the names that follow. A process in a container
shows its container's tags, too. Containers that rules leave out are not listed.

A name, and the value of a filter, may have * for any text. The fields to filter by are those
that "rollcall get" shows.

--namespace and --selector are those of kubectl, and so are the short names po, deploy, svc, ns and
no. A container is in its pod's namespace and has its pod's labels, too.

Kinds: ` + strings.Join(inspect.KindNames(), ", "),
		Example: `  rollcall ls
  rollcall ls container web 'web-*'
  rollcall ls container --image 'acme/*'
  rollcall ls container --filter tags=env:prod --filter labels.team=shop
  rollcall ls po -n shop -l 'app=cart,tier in (web,edge)'
  rollcall ls process -o json --cardinality high`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeKindsAndNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := parseKinds(args)
			if err != nil {
				return err
			}
			kinds := asked.kinds
			r := inspect.ListRequest{Kinds: kinds, Names: asked.names, All: all,
				Narrowing: n.of(asked)}
			switch {
			case len(kinds) > 0:
			case all:
				r.Kinds = workloadmeta.Kinds()
			default:
				r.Kinds = inspect.Running()
			}
			if cmd.Flags().Changed("image") {
				if len(kinds) == 0 {
					r.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
				}
				r.Where = append(r.Where, inspect.Condition{Field: "image", Pattern: image})
			}
			for _, text := range filters {
				field, value, ok := strings.Cut(text, "=")
				if !ok || field == "" {
					return usagef("--filter %q: want field=value, such as labels.team=shop", text)
				}
				r.Where = append(r.Where, inspect.Condition{Field: field, Pattern: value})
			}
			return a.list(cmd.Context(), r, len(args) > 0 || len(r.Where) > 0 ||
				r.Namespace != "" || r.Selector != "")
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false,
		"every kind, images and the like, and what rules leave out")
	n.flags(cmd)
	cmd.Flags().StringVar(&image, "image", "", "only containers of this image (* for any text)")
	cmd.Flags().StringArrayVar(&filters, "filter", nil,
		"only what has this value: --filter field=value (repeatable)")
	return cmd
}

// narrowing is what the flags that kubectl has, too, narrow a command to.
type narrowing struct {
	inspect.Narrowing
	everywhere bool
}

func (n *narrowing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&n.Namespace, "namespace", "n", "",
		"only what is in this namespace of Kubernetes")
	cmd.Flags().BoolVarP(&n.everywhere, "all-namespaces", "A", false,
		"in all namespaces, as without --namespace")
	cmd.Flags().StringVarP(&n.Selector, "selector", "l", "",
		"only what has these labels: a=b, a!=b, a in (b,c), a notin (b), a, !a")
}

// of returns it together with the resources that are asked for.
func (n *narrowing) of(a asked) inspect.Narrowing {
	out := n.Narrowing
	out.Resources = a.resources
	if n.everywhere {
		out.Namespace = ""
	}
	return out
}

// list prints entities. asked says that somebody asked for these: nothing is then not found.
func (a *app) list(ctx context.Context, r inspect.ListRequest, asked bool) error {
	var err error
	if r.Cardinality, err = a.cardinality(tagger.LowCardinality); err != nil {
		return err
	}
	e, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer e.close()
	list, err := e.ask.List(ctx, r)
	if err != nil {
		return err
	}
	if a.structured() {
		err = a.print(map[string]any{"entities": list.Entities})
	} else {
		err = a.printTables(r, list)
	}
	if !a.incomplete {
		for _, note := range list.Notes {
			a.say("%s", note)
		}
	}
	switch {
	case err != nil:
		return err
	case len(list.Entities) == 0 && asked && list.LeftOut > 0:
		return notFoundf("%s", list.Why(r))
	case len(list.Entities) == 0 && asked && !a.incomplete:
		return a.nothing(ctx, e, r, list)
	case list.LeftOut > 0 && !a.structured():
		a.say("left out by rules: %d; --all shows them", list.LeftOut)
	}
	return nil
}

// nothing says why nothing was found, and what has nearly the name that was asked for.
func (a *app) nothing(ctx context.Context, e *session, r inspect.ListRequest,
	list inspect.List) error {
	if len(r.Kinds) == 1 && len(r.Names) == 1 && !strings.Contains(r.Names[0], "*") {
		_, err := e.ask.Get(ctx, inspect.GetRequest{
			Name: nameOf(inspect.Class{Kind: r.Kinds[0], Resource: firstOf(r.Resources)},
				r.Names[0], r.Namespace)})
		if missing := (*inspect.NotFoundError)(nil); errors.As(err, &missing) {
			return err
		}
	}
	return notFoundf("%s", list.Why(r))
}

// firstOf returns the first of a list, "" if there is none.
func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// printTables prints one table for each kind, or resource, that has entities.
func (a *app) printTables(r inspect.ListRequest, list inspect.List) error {
	first := true
	for _, class := range classes(r) {
		var of []inspect.Entity
		for _, e := range list.Entities {
			if class.Has(e.Workload) {
				of = append(of, e)
			}
		}
		if len(of) == 0 {
			continue
		}
		if !first {
			if _, err := fmt.Fprintln(a.out); err != nil {
				return err
			}
		}
		first = false
		if err := a.printTable(a.tableOf(class, of, list)); err != nil {
			return err
		}
	}
	return nil
}

// classes are what a list is about, in the order of the request.
func classes(r inspect.ListRequest) (list []inspect.Class) {
	for _, kind := range r.Kinds {
		if kind == workloadmeta.KindKubernetesMetadata && len(r.Resources) > 0 {
			for _, resource := range r.Resources {
				list = append(list, inspect.Class{Kind: kind, Resource: resource})
			}
		} else {
			list = append(list, inspect.Class{Kind: kind})
		}
	}
	return list
}

// asked is what a command is about.
type asked struct {
	kinds     []workloadmeta.Kind
	resources []string
	names     []string
}

// parseKinds reads kinds, and the names that come after them; or a kind and a name, "po/web-0".
func parseKinds(args []string) (a asked, err error) {
	whole := false // of the metadata, all
	add := func(class inspect.Class) {
		if !slices.Contains(a.kinds, class.Kind) {
			a.kinds = append(a.kinds, class.Kind)
		}
		if class.Kind == workloadmeta.KindKubernetesMetadata {
			if whole = whole || class.Resource == ""; whole {
				a.resources = nil
			} else if !slices.Contains(a.resources, class.Resource) {
				a.resources = append(a.resources, class.Resource)
			}
		}
	}
	for i, arg := range args {
		var some []inspect.Class
		for part := range strings.SplitSeq(arg, ",") {
			class, classErr := inspect.ParseClass(part)
			if classErr == nil {
				some = append(some, class)
				continue
			}
			if i > 0 {
				a.names = args[i:]
				return a, nil
			}
			kind, name, _ := strings.Cut(arg, "/")
			if class, classErr := inspect.ParseClass(kind); classErr == nil && name != "" {
				add(class)
				a.names = append([]string{name}, args[1:]...)
				return a, nil
			}
			return a, fmt.Errorf("%w; a name comes after its kind, as in "+
				"\"container %s\"", classErr, arg)
		}
		for _, class := range some {
			add(class)
		}
	}
	return a, nil
}
