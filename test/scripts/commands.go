package scripts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/replay"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// player plays one script.
type player struct {
	bubble *bubble
	world  *world
}

// command is a command of scripts; it runs in the bubble.
type command func(s *scene, args []string) error

// scene is where a command runs.
type scene struct {
	*world
	t      *testing.T // of the bubble
	script *testscript.TestScript
	out    io.Writer
	read   func(name string) (string, error)
}

// commands are those that need a running engine.
var commands = map[string]command{
	"feed":    feed,
	"gone":    gone,
	"shuffle": shuffle,
	"advance": advance,
	"lost":    lost,
	"vanish":  vanish,
	"back":    back,
	"rules":   reload,
	"tags":    tags,
	"await":   await,
	"show":    show,
	"reports": reports,
	"explain": explain,
	"status":  status,
	"events":  events,
	"changes": changes,
	"record":  record,
}

// cmds returns the commands as testscript wants them.
func (p *player) cmds() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){
		"reporter":  p.command(func(s *scene, args []string) error { return reporter(s, args) }),
		"replay":    p.command(replayed),
		"elsewhere": p.command(p.elsewhere),
	}
	for name, c := range commands {
		all[name] = p.command(func(s *scene, args []string) error {
			if err := s.start(s.t); err != nil {
				return err
			}
			return c(s, args)
		})
	}
	return all
}

func (p *player) command(c command) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		var out bytes.Buffer
		err := p.bubble.do(func(t *testing.T) error {
			return c(&scene{world: p.world, t: t, script: ts, out: &out,
				read: func(name string) (string, error) {
					data, err := os.ReadFile(ts.MkAbs(name))
					return string(data), err
				}}, args)
		})
		_, _ = ts.Stdout().Write(out.Bytes()) // a buffer
		switch {
		case err != nil && !neg:
			ts.Fatalf("%v", err)
		case err != nil:
			fmt.Fprintln(ts.Stderr(), err)
		case neg:
			ts.Fatalf("it did not fail")
		}
	}
}

// want checks the number of arguments.
func want(args []string, least, most int, usage string) error {
	if len(args) < least || len(args) > most {
		return fmt.Errorf("usage: %s", usage)
	}
	return nil
}

const many = 1000

func reporter(s *scene, args []string) error {
	if err := want(args, 1, many, "reporter NAME [polled] [absent|silent|failing]"); err != nil {
		return err
	}
	return s.addReporter(args[0], args[1:])
}

func replayed(s *scene, args []string) error {
	if err := want(args, 1, 1, "replay FILE"); err != nil {
		return err
	}
	c, err := replay.New(replay.Options{Path: s.script.MkAbs(args[0])})
	s.collectors = append(s.collectors, c)
	return err
}

// elsewhere goes on on another machine, where nothing is known.
func (p *player) elsewhere(s *scene, _ []string) error {
	err := p.world.stop()
	p.world = newWorld(p.world.rng)
	return err
}

func feed(s *scene, args []string) error {
	if err := want(args, 1, many,
		"feed REPORTER KIND/ID [FIELD=VALUE ...], or feed FILE"); err != nil {
		return err
	}
	if len(args) > 1 {
		c, err := parseChange(args)
		if err != nil {
			return err
		}
		return s.feed([]change{c})
	}
	list, err := s.changesIn(args[0])
	if err != nil {
		return err
	}
	return s.feed(list)
}

func gone(s *scene, args []string) error {
	if err := want(args, 2, many, "gone REPORTER KIND/ID [FIELD=VALUE ...]"); err != nil {
		return err
	}
	return feed(s, append([]string{args[0], "gone"}, args[1:]...))
}

func shuffle(s *scene, args []string) error {
	if err := want(args, 1, 1, "shuffle FILE"); err != nil {
		return err
	}
	list, err := s.changesIn(args[0])
	if err != nil {
		return err
	}
	return s.feed(s.shuffle(list))
}

// changesIn reads a file with a change on each line: as feed takes them, or of a recording.
func (s *scene) changesIn(name string) (list []change, err error) {
	text, err := s.read(name)
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		var c change
		switch line = strings.TrimSpace(line); {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "{"):
			var l recording.Line
			l, err = recording.NewReader(strings.NewReader(line), name).Next()
			c.event = l.Event
		default:
			c, err = parseChange(strings.Fields(line))
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func advance(s *scene, args []string) error {
	if err := want(args, 1, 1, "advance DURATION"); err != nil {
		return err
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	return s.advance(d)
}

func lost(s *scene, args []string) error {
	if err := want(args, 1, many, "lost REPORTER [WHY ...]"); err != nil {
		return err
	}
	f, err := s.reporter(args[0])
	if err != nil {
		return err
	}
	var why error
	if len(args) > 1 {
		why = errors.New(strings.Join(args[1:], " "))
	}
	f.Lose(why)
	return s.settle()
}

func vanish(s *scene, args []string) error {
	if err := want(args, 1, many, "vanish REPORTER [WHY ...]"); err != nil {
		return err
	}
	f, err := s.reporter(args[0])
	if err != nil {
		return err
	}
	f.Hide(workloadmeta.Problem{Reason: strings.Join(args[1:], " ")})
	return s.settle()
}

func back(s *scene, args []string) error {
	if err := want(args, 1, 1, "back REPORTER"); err != nil {
		return err
	}
	return s.restore(args[0])
}

func reload(s *scene, args []string) error {
	if err := want(args, 1, 1, "rules FILE"); err != nil {
		return err
	}
	text, err := s.read(args[0])
	if err != nil {
		return err
	}
	s.options.Rules, err = config.ParseRules(args[0], []byte(text))
	if err != nil {
		return err
	}
	if err := s.tagger.Reload(s.options); err != nil {
		return err
	}
	return s.settle()
}

// taggerID reads "container/web", "pod/p1" or "container_id://web".
func taggerID(text string) (tagger.EntityID, error) {
	if id, err := tagger.ParseEntityID(text); err == nil {
		return id, nil
	}
	id, err := parseID(text)
	return extract.TaggerID(id), err
}

func tags(s *scene, args []string) error {
	if err := want(args, 0, 2, "tags [KIND/ID [CARDINALITY]]"); err != nil {
		return err
	}
	if len(args) == 0 {
		for _, e := range s.tagger.List() {
			if err := s.printTags(e.ID, tagger.HighCardinality); err != nil {
				return err
			}
		}
		return nil
	}
	id, err := taggerID(args[0])
	if err != nil {
		return err
	}
	cardinality := tagger.HighCardinality
	if len(args) == 2 {
		if cardinality, err = tagger.ParseCardinality(args[1]); err != nil {
			return err
		}
	}
	return s.printTags(id, cardinality)
}

// printTags prints how well an entity is known and then its tags, one a line.
func (s *scene) printTags(id tagger.EntityID, c tagger.TagCardinality) error {
	list, err := s.tagger.Tag(id, c)
	if err != nil {
		return err
	}
	_, known, err := s.tagger.TagWithCompleteness(id, c)
	fmt.Fprintf(s.out, "%s %s\n", id, known)
	for _, tag := range list {
		fmt.Fprintf(s.out, "  %s\n", tag)
	}
	return err
}

func await(s *scene, args []string) error {
	const usage = "await KIND/ID partial|complete LIMIT"
	if err := want(args, 3, 3, usage); err != nil {
		return err
	}
	id, err := taggerID(args[0])
	if err != nil {
		return err
	}
	level, ok := map[string]tagger.Completeness{"partial": tagger.Partial,
		"complete": tagger.Complete}[args[1]]
	if !ok {
		return fmt.Errorf("usage: %s", usage)
	}
	limit, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begin := time.Now()
	_, known, err := s.tagger.TagWait(ctx, id, tagger.HighCardinality, level)
	fmt.Fprintf(s.out, "%s after %s\n", known, time.Since(begin))
	return err
}

func show(s *scene, args []string) error {
	if err := want(args, 1, 1, "show KIND/ID"); err != nil {
		return err
	}
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	e, err := s.store.Get(id)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, e)
	return nil
}

func reports(s *scene, args []string) error {
	if err := want(args, 1, 1, "reports KIND/ID"); err != nil {
		return err
	}
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	list, err := s.store.Reports(id)
	for _, r := range list {
		outdated := ""
		if r.Outdated {
			outdated = " (outdated)"
		}
		fmt.Fprintf(s.out, "%s %s%s: %v\n", r.Name, r.State, outdated, r.Entity)
	}
	return err
}

func explain(s *scene, args []string) error {
	if err := want(args, 1, 2, "explain KIND/ID [TAG]"); err != nil {
		return err
	}
	id, err := taggerID(args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		return s.explainTag(s.tagger.ExplainTag(id, args[1]))
	}
	x := s.tagger.Explain(id)
	fmt.Fprintf(s.out, "%s: %s\n", x.Completeness, x.Reason)
	if x.Selection != nil && x.Selection.Excluded {
		fmt.Fprintf(s.out, "excluded by %s\n", x.Selection.Rule)
	}
	for _, tag := range x.Tags {
		hidden := ""
		if tag.HiddenBy != "" {
			hidden = ", hidden by " + tag.HiddenBy
		}
		if tag.RenamedBy != "" {
			hidden += ", was " + tag.Before + " before " + tag.RenamedBy
		}
		fmt.Fprintf(s.out, "%s: %s from %s%s\n", tag.Tag, tag.Rule, cmp.Or(tag.Field, tag.Source),
			hidden)
	}
	for _, tag := range x.Dropped {
		fmt.Fprintf(s.out, "no %s: dropped by %s\n", tag.Tag, tag.DroppedBy)
	}
	for _, p := range x.Problems {
		fmt.Fprintf(s.out, "problem with %s %s: %s\n", p.Entity, p.Field, p.Problem)
	}
	return nil
}

func (s *scene) explainTag(x tagger.TagReason) error {
	fmt.Fprintln(s.out, x.Reason)
	for _, way := range x.Ways {
		fmt.Fprintf(s.out, "way: %+v\n", way)
	}
	for _, near := range x.Near {
		fmt.Fprintf(s.out, "near: %+v\n", near)
	}
	return nil
}

func status(s *scene, args []string) error {
	if err := want(args, 0, 0, "status"); err != nil {
		return err
	}
	for _, c := range s.supervisor.Status() {
		fmt.Fprintf(s.out, "%s %s, %d entities", c.ID, c.State, c.Entities)
		if c.Reason != "" {
			fmt.Fprintf(s.out, ": %s", c.Problem)
		}
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "synced: %t\n", s.store.Synced())
	return nil
}

func events(s *scene, args []string) error {
	if err := want(args, 0, 0, "events"); err != nil {
		return err
	}
	return s.printNews(&s.events)
}

func changes(s *scene, args []string) error {
	if err := want(args, 0, 0, "changes"); err != nil {
		return err
	}
	return s.printNews(&s.changes)
}

// printNews prints what has come since the last time.
func (s *scene) printNews(list *[]string) error {
	if err := s.settle(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range *list {
		fmt.Fprintln(s.out, line)
	}
	*list = nil
	return nil
}

func record(s *scene, args []string) error {
	if err := want(args, 1, 1, "record FILE"); err != nil {
		return err
	}
	f, err := os.Create(s.script.MkAbs(args[0]))
	if err != nil {
		return err
	}
	return errors.Join(s.record(f), f.Close())
}
