package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Filter is one of the options with lists of filters, and its items.
type Filter struct {
	Option string // "container_exclude_logs"
	Items  []string
}

// filterActions are the options with filters, in the order in which they are translated:
// whatever one of them includes counts more than what any excludes.
var filterActions = []struct {
	option   string
	fallback string // counts if option is empty
	action   Action
	purpose  Purpose
}{
	{"container_exclude", "ac_exclude", Exclude, Everything},
	{"container_exclude_metrics", "", Exclude, Metrics},
	{"container_exclude_logs", "", Exclude, Logs},
	{"container_include", "ac_include", Include, Everything},
	{"container_include_metrics", "", Include, Metrics},
	{"container_include_logs", "", Include, Logs},
}

// Translate returns the rules that the options with filters mean. where says where an item
// is written; it may be nil. An item that cannot be compiled is an error that names it and
// the option; those of which nobody knows what they are about are returned as warnings.
func Translate(filters []Filter, where func(option, item string) string) (list []Rule,
	warnings []string, err error) {
	items := map[string][]string{}
	for _, f := range filters {
		items[f.Option] = f.Items
	}
	for _, a := range filterActions {
		option := a.option
		if len(items[option]) == 0 && a.fallback != "" {
			option = a.fallback
		}
		for _, item := range items[option] {
			c, known, err := ParseFilter(item)
			if err != nil {
				return nil, nil, fmt.Errorf("option %s: item %q: %w", option, item, err)
			}
			r := Rule{Name: fmt.Sprintf("%s %q", option, item), Origin: Option, Action: a.action,
				Purpose: a.purpose, When: []Condition{c}}
			if where != nil {
				r.Where = where(option, item)
			}
			if !known {
				warnings = append(warnings,
					fmt.Sprintf(
						"%s: not understood and ignored (want image:…, name:… or kube_namespace:…)",
						r.Label()))
				continue
			}
			list = append(list, r)
		}
	}
	return list, warnings, nil
}

// FilterOptions returns the names of the options that [Translate] understands.
func FilterOptions() []string {
	var names []string
	for _, a := range filterActions {
		names = append(names, a.option)
		if a.fallback != "" {
			names = append(names, a.fallback)
		}
	}
	slices.Sort(names)
	return names
}

// ParseFilter reads an item of an option with filters: "image:", "name:" or
// "kube_namespace:" and a regular expression that may match anywhere. known is false if
// the item begins otherwise. As before, a value that is not there is matched by nothing,
// with one exception: the expression "^$", which can have no other meaning, matches it.
func ParseFilter(item string) (c Condition, known bool, err error) {
	prefix, expr, _ := strings.Cut(item, ":")
	field, ok := map[string]Field{"image": Image, "name": Name, "kube_namespace": Namespace}[prefix]
	if !ok {
		return Condition{}, false, nil
	}
	if _, err := regexp.Compile(expr); err != nil {
		return Condition{}, true, err
	}
	return Condition{Field: field, Patterns: []string{"/" + expr + "/"}}, true, nil
}
