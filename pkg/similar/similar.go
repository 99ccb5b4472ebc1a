// Package similar finds what somebody meant who has misspelled a name.
package similar

import (
	"slices"
	"strings"
)

// Distance is the number of bytes to insert, remove, replace or swap with their neighbour to
// make b of a.
func Distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// Nearest returns the name that is nearest, whatever its case; of several that which begins most
// like it, then the first in the order of the alphabet; "" if all are further away than limit.
func Nearest(name string, names []string, limit int) string {
	best, bestBegin := "", -1
	name = strings.ToLower(name)
	for _, candidate := range slices.Sorted(slices.Values(names)) {
		lower := strings.ToLower(candidate)
		d, begin := Distance(name, lower), begin(name, lower)
		if d < limit || d == limit && begin > bestBegin {
			best, limit, bestBegin = candidate, d, begin
		}
	}
	return best
}

// begin is how many bytes two names have in common at their beginning.
func begin(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
