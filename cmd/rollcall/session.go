package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// session is somebody to ask, for one command. Close it.
type session struct {
	app   *app
	agent *agent.Agent // in this process
	ask   inspect.Inspector
}

// errInterrupted reports that the user has had enough before there was an answer.
var errInterrupted = errors.New("interrupted")

// stopTimeout bounds how long the end of a command waits for collectors that do not return.
const stopTimeout = 5 * time.Second

// open starts an agent and waits for the first answer of each collector, or reads the recording.
// strict makes the absence of a daemon that was asked for by name an error: see complain.
func (a *app) open(ctx context.Context, strict bool) (*session, error) {
	s, err := a.openUnplayed(ctx, strict)
	if err == nil && a.from != "" {
		if err = s.notes(ctx); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, err
}

// openUnplayed is open without playing a recording.
func (a *app) openUnplayed(ctx context.Context, strict bool) (*session, error) {
	conf, err := a.loadConfig(ctx)
	if err != nil {
		return nil, err
	}
	opts := agent.Options{Config: conf, Environ: a.tagEnviron(), KeepEnv: a.alsoEnv,
		Recording: a.recording, Version: version, Log: a.log(), Once: !a.stays,
		Lenient: a.lenient}
	made, err := agent.New(opts)
	if err != nil {
		return nil, err
	}
	s := &session{app: a, agent: made, ask: made.Inspect()}
	if err = made.Start(ctx); err == nil && a.from == "" {
		err = s.firstAnswers(ctx, strict)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// firstAnswers waits until there is something to answer from.
func (s *session) firstAnswers(ctx context.Context, strict bool) error {
	stop := s.progress(ctx)
	answers, err := s.ask.FirstAnswers(ctx, inspect.FirstAnswersRequest{Wait: s.app.timeout})
	stop()
	if ctx.Err() != nil {
		return errInterrupted
	}
	s.complain(answers, strict)
	return err
}

// notes says what was not understood of the recording.
func (s *session) notes(ctx context.Context) error {
	status, err := s.ask.Status(ctx)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	for _, note := range status.Recording.Notes {
		s.app.say("%s", note)
	}
	return nil
}

// complain says what went wrong with collectors, one line each. It is quiet about those that have
// nothing to collect here, unless somebody has asked for them: with strict that fails the command,
// which answers all the same from what the others know.
func (s *session) complain(answers []inspect.FirstAnswer, strict bool) {
	unnamed := false // one that is late and has not been named
	late := pendingOf(answers)
	for _, o := range answers {
		reason := oneLine(o.Problem.String())
		switch {
		case strict && o.Result != collection.Listed && o.Asked != "":
			if o.Result == collection.Pending {
				reason = fmt.Sprintf("no answer within %s (--timeout)", s.app.timeout)
			}
			s.app.say("%s: %s (%s)", o.ID, reason, o.Asked)
			s.app.incomplete = true
		case o.Result == collection.Pending:
			unnamed = true
		case o.Notable:
			s.app.say("%s: %s", o.ID, reason)
		}
	}
	if unnamed {
		s.app.say(
			"wait for the first answer of %s: none within %s (--timeout); the answer is without it",
			strings.Join(late, ", "), s.app.timeout)
	}
}

// pendingOf returns the collectors that have not answered.
func pendingOf(answers []inspect.FirstAnswer) (ids []string) {
	for _, o := range answers {
		if o.Result == collection.Pending {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// progress says on a terminal what is being waited for, if it takes longer than a second. The
// returned function takes the line away.
func (s *session) progress(ctx context.Context) (stop func()) {
	a := s.app
	if a.completing || !isTerminal(a.err) {
		return func() {}
	}
	ctx, quit := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-ctx.Done():
				if shown {
					fmt.Fprint(a.err, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			answers, err := s.ask.FirstAnswers(ctx, inspect.FirstAnswersRequest{})
			if pending := pendingOf(answers); err == nil && len(pending) > 0 {
				fmt.Fprintf(a.err, "\r\x1b[Kwaiting for %s …", strings.Join(pending, ", "))
			}
		}
	}()
	return func() { quit(); <-ended }
}

// sayOutages says which sources go away, and come back, until the returned function is called.
func (s *session) sayOutages(ctx context.Context) (stop func()) {
	ctx, quit := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for o := range s.ask.Outages(ctx) {
			said := "is away"
			if o.Back {
				said = "is back; it was away"
			}
			s.app.say("%s %s: %s", o.Collector, said, oneLine(o.Problem.String()))
		}
	}()
	return func() { quit(); <-ended }
}

// openRecording opens the recording that --from names, if there is one, once.
func (a *app) openRecording(ctx context.Context) (err error) {
	if a.from != "" && a.recording == nil {
		a.recording, err = inspect.OpenRecording(ctx, a.from, a.skipBad)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// ownConfig returns the configuration under which the recording was made, which counts unless the
// user gives a file; nil if there is none.
func (a *app) ownConfig() map[string]json.RawMessage {
	if a.recording == nil || a.configFile != "" || a.getenv("ROLLCALL_CONFIG") != "" {
		return nil
	}
	return a.recording.Config()
}

// tagEnviron is the environment that tags depend on: the recording's, if it has one.
func (a *app) tagEnviron() []string {
	if own := a.ownConfig(); own != nil {
		return config.RecordedEnviron(own)
	}
	return a.environ
}

// close stops everything and waits for it.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.agent.Stop(ctx); err != nil {
		s.app.say("%s", oneLine(err.Error()))
	}
}
