package rules

import (
	"errors"
	"fmt"
	"regexp"
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
			conditions, known, err := ParseFilter(item)
			if err != nil {
				return nil, nil, fmt.Errorf("option %s: item %q: %w", option, item, err)
			}
			r := Rule{Name: fmt.Sprintf("%s %q", option, item), Origin: Option, Action: a.action,
				Purpose: a.purpose}
			if where != nil {
				r.Where = where(option, item)
			}
			if !known {
				warnings = append(warnings,
					r.Label()+
						": not understood and ignored (want image:…, name:… or kube_namespace:…)")
			}
			for _, c := range conditions {
				if len(conditions) > 1 { // each is told by itself whether it has an effect
					r.Name = fmt.Sprintf("%s %q", option, filterText(c))
				}
				r.When = []Condition{c}
				list = append(list, r)
			}
		}
	}
	return list, warnings, nil
}

// filterFields are what an item of an option with filters may be about.
var filterFields = map[string]Field{"image": Image, "name": Name, "kube_namespace": Namespace}

// nextFilter finds where the next filter of an item begins. No image, name or namespace
// has a comma, a blank or a quote, so that these are never meant as part of an expression.
var nextFilter = regexp.MustCompile(`[\s,"']+(image|name|kube_namespace):`)

// ParseFilter reads an item of an option with filters: "image:", "name:" or
// "kube_namespace:" and a regular expression that may match anywhere. Blanks, commas and
// quotes around it do not count. Several filters in one item are one condition each, of
// which one must hold. known is false if the item begins otherwise.
//
// An empty expression is an error: it would match everything, and it is what is left of
// "image: nginx" where blanks separate the items.
//
// As before, a value that is not there is matched by nothing, with one exception: the
// expression "^$", which can have no other meaning, matches it.
func ParseFilter(item string) (conditions []Condition, known bool, err error) {
	for rest := trimFilter(item); rest != ""; {
		filter := rest
		rest = ""
		if next := nextFilter.FindStringSubmatchIndex(filter); next != nil {
			filter, rest = filter[:next[0]], filter[next[2]:]
		}
		prefix, expr, _ := strings.Cut(filter, ":")
		field, ok := filterFields[prefix]
		if !ok {
			return nil, false, nil
		}
		if expr = trimFilter(expr); expr == "" {
			return nil, true, errEmptyExpression(prefix + ":.*")
		}
		if _, err := regexp.Compile(expr); err != nil {
			return nil, true, err
		}
		conditions = append(conditions,
			Condition{Field: field, Patterns: []string{"/" + expr + "/"}})
	}
	return conditions, len(conditions) > 0, nil
}

// filterText writes a condition of [ParseFilter] as an item.
func filterText(c Condition) string {
	pattern := c.Patterns[0]
	for name, field := range filterFields {
		if field == c.Field {
			return name + ":" + pattern[1:len(pattern)-1]
		}
	}
	return pattern
}

func trimFilter(s string) string { return strings.Trim(s, " \t\r\n,\"'") }

// errEmptyExpression says how to write what an empty expression would mean.
func errEmptyExpression(all string) error {
	return errors.New(
		"the expression is empty, which would match everything; to mean that, write " +
			all)
}
