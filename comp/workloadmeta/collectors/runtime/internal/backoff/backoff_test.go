package backoff

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestDoubled(t *testing.T) {
	var got []time.Duration
	for _, times := range []int{-1, 0, 1, 2, 3, 4, 5, 6, math.MaxInt} {
		got = append(got, Doubled(10*time.Second, times, 5*time.Minute)/time.Second)
	}
	if want := []time.Duration{10, 10, 20, 40, 80, 160, 300, 300, 300}; !slices.Equal(got, want) {
		t.Errorf("%d s, want %d s", got, want)
	}
	if got := Doubled(time.Minute, 0, time.Second); got != time.Second {
		t.Errorf("least above most: %v", got)
	}
}
