package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the collectors are doing",
		Long: `Show how each collector is doing; of one that does nothing, what was looked for,
why it is off or failing, and how to mend that; what is wrong with what tags are made of, and
which rules have no effect here; what the store and the tagger hold. It always answers:
collectors that fail are part of the answer.`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.lenient = true
			e, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer e.close()
			s, err := e.ask.Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(s)
			}
			return a.printStatus(s)
		},
	}
}

// troubles says of every collector that does not work what was looked for, what is wrong and how to
// mend it, uncut: the table has no room for it. It ends with an empty line, if there is any.
func troubles(collectors []collection.Status, now time.Time) string {
	var b strings.Builder
	tell := func(problems ...workloadmeta.Problem) {
		for _, p := range problems {
			for line := range strings.SplitSeq(p.Reason+"\n"+p.Hint, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					fmt.Fprintf(&b, "  %s\n", clean(line))
				}
			}
		}
	}
	for _, c := range collectors {
		if c.State == collection.StateLive {
			for _, p := range c.Parts {
				if p.State != collection.StateLive {
					fmt.Fprintf(&b, "%s is %s, but %s is %s:\n", c.ID, c.State, clean(p.Name),
						p.State)
					tell(p.Problem)
				}
			}
			continue
		}
		if c.Reason == "" || c.Cause == workloadmeta.CauseOff {
			continue
		}
		fmt.Fprintf(&b, "%s is %s", c.ID, c.State)
		if wait := c.NextRetry.Sub(now); wait > 0 {
			fmt.Fprintf(&b, ", looked at again in %s", max(time.Second, wait.Round(time.Second)))
		}
		b.WriteString(":\n")
		tell(append([]workloadmeta.Problem{c.Problem}, c.More...)...)
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// mostProblems is how many problems of entities status tells people of; one wrong annotation of a
// Deployment is as many as it has pods.
const mostProblems = 10

// tagTroubles says what is wrong with what tags are made of, and which rules have no effect. It
// ends with an empty line, if there is any.
func tagTroubles(r inspect.Status) string {
	var b strings.Builder
	for i, p := range r.Problems {
		if i == mostProblems {
			fmt.Fprintf(&b, "and %d more problems; -o json has them all\n", len(r.Problems)-i)
			break
		}
		who := cmp.Or(p.Name, inspect.ShortEntity(p.ID))
		fmt.Fprintf(&b, "problem: %s: %s: %s\n", clean(who),
			clean(strings.TrimSpace(p.Entity+" "+p.Field)), oneLine(p.Problem.Problem))
	}
	for _, idle := range r.Idle {
		b.WriteString(clean(idle.Rule+" has no effect: "+idle.Reason) + "\n")
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

func (a *app) printStatus(r inspect.Status) error {
	source := "looked once, in this process"
	if r.Recording != nil {
		source = fmt.Sprintf("%s: %d events", r.Recording.File, r.Recording.Events)
		if !r.Recording.First.IsZero() {
			source += fmt.Sprintf(", %s to %s", r.Recording.First.Format(time.RFC3339),
				r.Recording.Last.Format(time.RFC3339))
		}
	}
	if _, err := fmt.Fprintf(a.out, "rollcall %s, %s\n\n", r.Version, clean(source)); err != nil {
		return err
	}
	if len(r.Collectors) > 0 {
		t := &table{columns: []tableColumn{{title: "COLLECTOR", fixed: true},
			{title: "STATE", fixed: true}, {title: "SINCE", fixed: true, right: true, spare: 2},
			{title: "ENTITIES", fixed: true, right: true},
			{title: "EVENTS", fixed: true, right: true, spare: 3},
			{title: "REASON", least: 30}}}
		if a.wide() {
			t.columns = append(t.columns, tableColumn{title: "MODES"},
				tableColumn{title: "RESTARTS", right: true},
				tableColumn{title: "FAILURES", right: true},
				tableColumn{title: "LAST PULL", right: true})
		}
		for _, c := range r.Collectors {
			reason := c.Reason
			if c.LastError != "" && c.State == collection.StateLive {
				reason = strings.TrimPrefix(reason+"; last error: "+c.LastError, "; ")
			}
			row := []string{
				c.ID, string(c.State), age(r.At, c.Since), fmt.Sprint(c.Entities),
				fmt.Sprint(c.Events), oneLine(reason),
			}
			if a.wide() {
				row = append(row, strings.Join(c.Modes, ","), fmt.Sprint(c.Restarts),
					fmt.Sprint(c.Failures), c.LastPull.Round(time.Millisecond).String())
			}
			t.rows = append(t.rows, row)
		}
		t.color = func(row, col int) string {
			if col == 1 {
				return stateColor(t.rows[row][col])
			}
			return ""
		}
		if err := a.printTable(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.out, "\n%s", troubles(r.Collectors, r.At)); err != nil {
			return err
		}
	}
	for _, s := range r.Store.Subscribers {
		if s.Lag > 0 {
			if _, err := fmt.Fprintf(a.out, "%s is behind by %d changes; %d events wait for it\n",
				clean(s.Name), s.Lag, s.Pending); err != nil {
				return err
			}
		}
	}
	if _, err := fmt.Fprint(a.out, tagTroubles(r)); err != nil {
		return err
	}
	var parts []string
	for _, kind := range workloadmeta.Kinds() {
		if n := r.Store.Entities[kind.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	_, err := fmt.Fprintf(a.out,
		"store   %s; revision %d, synced: %s\ntagger  %d entities, %d of them gone and still remembered; %d different tags\n",
		strings.Join(parts, ", "), r.Store.Revision, yesNo(r.Store.Synced), r.Tagger.Entities,
		r.Tagger.Tombstones, r.Tagger.Strings)
	return err
}
