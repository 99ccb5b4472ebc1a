// Command bench measures what rollcall promises about speed and size, against
// baselines in the same run, prints a table, writes bench.json and exits with 1 if a
// row is over its budget.
//
// A shared machine is noisy: each figure is the best of several rounds, baselines take
// turns with what they are compared to, and a row that is over its budget is measured
// again, up to three times. What stays over is over.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of bench.json. Ratio is Value / Baseline; Budget bounds the ratio when
// BudgetIs is "ratio", else the value.
type row struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Budget   *float64 `json:"budget"`
	BudgetIs string   `json:"budget_is,omitempty"`
	Baseline *float64 `json:"baseline"`
	Against  string   `json:"against,omitempty"`
	Ratio    *float64 `json:"ratio"`
}

func (r row) over() bool {
	switch {
	case r.Budget == nil:
		return false
	case r.BudgetIs == "ratio":
		return *r.Ratio > *r.Budget
	}
	return r.Value > *r.Budget
}

// benchmark measures one or more rows.
type benchmark struct {
	name string
	run  func() []row
}

func main() {
	out := flag.String("o", "bench.json", "where the rows go")
	only := flag.String("only", "", "run the benchmarks whose name contains this")
	attempts := flag.Int("attempts", 3, "how often to measure what is over its budget")
	serve := flag.Bool("serve-cluster", false, "be the fake API server that a benchmark starts")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	chosen := slices.DeleteFunc(benchmarks(),
		func(b benchmark) bool { return !strings.Contains(b.name, *only) })
	if len(chosen) == 0 {
		fmt.Fprintf(os.Stderr, "bench: the name of no benchmark contains %q\n", *only)
		os.Exit(2)
	}
	if *serve {
		serveCluster()
		return
	}
	start := time.Now()
	var rows []row
	for _, b := range chosen {
		fmt.Fprintf(os.Stderr, "bench: %s\n", b.name)
		best := b.run()
		for i := 1; i < *attempts && anyOver(best); i++ {
			for j, again := range b.run() {
				best[j] = best[j].with(again)
			}
		}
		rows = append(rows, best...)
		runtime.GC()
	}
	print(rows)
	fmt.Fprintf(os.Stderr, "bench: %d rows in %s on %d CPUs\n", len(rows),
		time.Since(start).Round(time.Second), runtime.NumCPU())
	data, err := json.MarshalIndent(rows, "", "  ")
	if err == nil {
		err = os.WriteFile(*out, append(data, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: write %s: %v\n", *out, err)
		os.Exit(1)
	}
	if anyOver(rows) {
		os.Exit(1)
	}
}

func anyOver(rows []row) bool {
	for _, r := range rows {
		if r.over() {
			return true
		}
	}
	return false
}

// with takes the best of two measurements, of the value and of the baseline each: what
// is best of one alone would prefer the rounds in which the baseline was held up.
func (r row) with(again row) row {
	r.Value = min(r.Value, again.Value)
	if r.Baseline != nil {
		baseline := min(*r.Baseline, *again.Baseline)
		ratio := r.Value / baseline
		r.Baseline, r.Ratio = &baseline, &ratio
	}
	return r
}

func print(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tUNIT\tBASELINE\tRATIO\tBUDGET\t")
	for _, r := range rows {
		baseline, ratio, budget, over := "", "", "", ""
		if r.Baseline != nil {
			baseline = fmt.Sprintf("%s (%s)", short(*r.Baseline), r.Against)
			ratio = fmt.Sprintf("%.2f", *r.Ratio)
		}
		if r.Budget != nil {
			budget = "≤ " + short(*r.Budget)
			if r.BudgetIs == "ratio" {
				budget += " ×"
			}
		}
		if r.over() {
			over = "over budget"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, short(r.Value), r.Unit, baseline,
			ratio, budget, over)
	}
	_ = w.Flush() // to a terminal or a pipe that has gone: nobody is left to tell
}

func short(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f == float64(int64(f)):
		return fmt.Sprintf("%d", int64(f))
	}
	return fmt.Sprintf("%.2f", f)
}

func plain(name string, value float64, unit string) row {
	return row{Name: name, Value: value, Unit: unit}
}

func bounded(name string, value float64, unit string, budget float64) row {
	return row{Name: name, Value: value, Unit: unit, Budget: &budget, BudgetIs: "value"}
}

func compared(name string, value float64, unit string, baseline float64, against string) row {
	ratio := value / baseline
	return row{Name: name, Value: value, Unit: unit, Baseline: &baseline, Against: against,
		Ratio: &ratio}
}

func ratioed(name string, value float64, unit string, baseline float64, against string,
	budget float64) row {
	r := compared(name, value, unit, baseline, against)
	r.Budget, r.BudgetIs = &budget, "ratio"
	return r
}

// nsPer returns the nanoseconds one call of f took, over n calls.
func nsPer(n int, f func(i int)) float64 {
	start := time.Now()
	for i := range n {
		f(i)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

// best runs each measurement in turn, rounds times, and returns the smallest of each.
func best(rounds int, measure ...func() float64) []float64 {
	out := make([]float64, len(measure))
	for r := range rounds {
		for i, m := range measure {
			if v := m(); r == 0 || v < out[i] {
				out[i] = v
			}
		}
	}
	return out
}

// allocsPer returns the allocations of one call of f, over n calls.
func allocsPer(n int, f func(i int)) float64 {
	var before, after runtime.MemStats
	f(0)
	runtime.ReadMemStats(&before)
	for i := range n {
		f(i)
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / uint64(n))
}

// heapOf returns the bytes on the heap that what make returns keeps alive.
func heapOf(build func() any) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := build()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}
