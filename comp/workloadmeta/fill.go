package workloadmeta

import (
	"maps"
	"slices"
	"time"
)

// fill sets *dst to src if *dst says nothing.
func fill[T comparable](dst *T, src T) {
	var zero T
	if *dst == zero {
		*dst = src
	}
}

// fillTime is fill for times, whose zero value has several representations.
func fillTime(dst *time.Time, src time.Time) {
	if dst.IsZero() {
		*dst = src
	}
}

// fillMap unites two maps without writing to either: *dst may be shared.
func fillMap[K comparable, V comparable](dst *map[K]V, src map[K]V) {
	if len(src) == 0 {
		return
	}
	if len(*dst) == 0 {
		*dst = src
		return
	}
	var zero V
	copied := false
	for k, v := range src {
		if have, ok := (*dst)[k]; ok && have != zero || ok && v == zero {
			continue
		}
		if !copied {
			*dst = maps.Clone(*dst)
			copied = true
		}
		(*dst)[k] = v
	}
}

// fillOne takes a list whole: parts of two such lists make no third.
func fillOne[T any](dst *[]T, src []T) {
	if len(*dst) == 0 {
		*dst = src
	}
}

// fillList appends what *dst does not hold yet, without writing to either list.
func fillList[T comparable](dst *[]T, src []T) {
	if len(src) == 0 {
		return
	}
	if len(*dst) == 0 {
		*dst = src
		return
	}
	out := slices.Clone(*dst)
	for _, v := range src {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	if len(out) > len(*dst) {
		*dst = out
	}
}

// fillSorted is fillList for lists whose order means nothing: what is united is sorted.
func fillSorted(dst *[]string, src []string) {
	before := len(*dst)
	fillList(dst, src)
	if before > 0 && len(*dst) > before { // a new list
		slices.Sort(*dst)
	}
}

// fillListFunc is fillList for values that are not comparable.
func fillListFunc[T any](dst *[]T, src []T, equal func(a, b T) bool) {
	if len(src) == 0 {
		return
	}
	if len(*dst) == 0 {
		*dst = src
		return
	}
	out := slices.Clone(*dst)
	for _, v := range src {
		if !slices.ContainsFunc(out, func(have T) bool { return equal(have, v) }) {
			out = append(out, v)
		}
	}
	*dst = out
}

// same reports whether two values say the same. A number that is none (NaN) says the same as
// another such, or every report of it would be a change.
func same[T comparable](a, b T) bool { return a == b || a != a && b != b }

func equalMaps[K, V comparable](a, b map[K]V) bool { return maps.EqualFunc(a, b, same[V]) }

func equalPtr[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && same(*a, *b)
}

func equalPtrFunc[T any](a, b *T, equal func(a, b *T) bool) bool {
	return a == b || a != nil && b != nil && equal(a, b)
}

func equalTimePtr(a, b *time.Time) bool {
	return a == b || a != nil && b != nil && a.Equal(*b)
}
