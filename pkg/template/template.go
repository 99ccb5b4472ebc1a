// Package template fills in the %%variables%% that names of tags and annotations of
// workloads may have.
package template

import "strings"

const mark = "%%"

// Has reports whether a text has a variable.
func Has(s string) bool {
	_, _, _, ok := next(s, 0)
	return ok
}

// next finds the first %%variable%% at or after from: s[start:end] is all of
// it, marks included. The shortest text that has at least one byte between two marks
// is a variable. If the first mark is never closed, no later one is.
func next(s string, from int) (start, end int, text string, ok bool) {
	i := strings.Index(s[from:], mark)
	if i < 0 {
		return 0, 0, "", false
	}
	start = from + i
	if inner := start + len(mark) + 1; inner < len(s) {
		if j := strings.Index(s[inner:], mark); j >= 0 {
			return start, inner + j + len(mark), s[start+len(mark) : inner+j], true
		}
	}
	return 0, 0, "", false
}

// Expand replaces every %%name%% and %%name_key%% of s by what resolve says. Blanks
// and percent signs in a variable do not count. If resolve does not know a
// variable, the result is that variable and false.
func Expand(s string, resolve func(name, key string) (string, bool)) (expanded string, ok bool) {
	var out strings.Builder
	done := 0
	for {
		start, end, text, found := next(s, done)
		if !found {
			break
		}
		name, key, _ := strings.Cut(variableText.Replace(text), "_")
		value, known := resolve(name, key)
		if !known {
			return s[start:end], false
		}
		out.WriteString(s[done:start])
		out.WriteString(value)
		done = end
	}
	if done == 0 {
		return s, true
	}
	out.WriteString(s[done:])
	return out.String(), true
}

var variableText = strings.NewReplacer("%", "", " ", "")
