// Package backoff says how long to wait for what has failed again and again.
//
// It keeps nothing and is for the pauses of many keys under a clock of the caller's. The pauses of
// a whole collector are the supervisor's.
package backoff

import "time"

// Doubled returns least, doubled this many times, but no more than most.
func Doubled(least time.Duration, times int, most time.Duration) time.Duration {
	for ; times > 0 && least < most; times-- {
		least *= 2
	}
	return min(least, most)
}
