package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
)

func (a *app) recordCommand() *cobra.Command {
	var once, force bool
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "record [file]",
		Short: "Write down what runs here and what changes",
		Long: `Write down what the collectors report, source by source, until Ctrl-C: a line of
JSON for each event. Without a file, or with "-", to the standard output. What is recorded gives
the same answers with --from, anywhere.

A recording holds labels, names and command lines (secrets in command lines are masked; of
environment variables only the allow-listed ones are ever read). Files are readable by their
owner only.`,
		Example: `  rollcall record --once > now.jsonl
  rollcall record incident.jsonl --duration 10m
  rollcall tags --from incident.jsonl`,
		Args: args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) == 1 {
				file = args[0]
			}
			if err := checkDuration(cmd, duration); err != nil {
				return err
			}
			return a.record(cmd.Context(), file, duration, once || a.from != "", force)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "write what is there now, and end")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file if it is there")
	cmd.Flags().DurationVar(&duration, "duration", 0, "end this long after the first answers (default: at Ctrl-C)")
	return cmd
}

func (a *app) record(ctx context.Context, file string, duration time.Duration,
	once, force bool) (err error) {
	e, err := a.open(ctx, true)
	if errors.Is(err, errInterrupted) {
		return fmt.Errorf("record to %s: %w before the collectors had answered; nothing is written",
			file, err)
	}
	if err != nil {
		return err
	}
	defer e.close()
	out := a.out
	if file != "-" {
		flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if force {
			flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		f, err := os.OpenFile(file, flags, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf(
				"record to %s: it is there already; choose another name or give --force", file)
		}
		if err != nil {
			if path, ok := errors.AsType[*fs.PathError](err); ok {
				err = path.Err
			}
			return fmt.Errorf("record to %s: %w", file, err)
		}
		defer func() {
			if cerr := f.Close(); err == nil && cerr != nil {
				err = fmt.Errorf("record to %s: %w", file, cerr)
			}
		}()
		// The mode given above counts for a new file only. What is no file, such as a pipe, has its
		// own.
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() &&
			info.Mode().Perm() != 0o600 {
			if err := f.Chmod(0o600); err != nil {
				return fmt.Errorf("record to %s: make it readable by its owner only: %w", file, err)
			}
		}
		out = f
	}
	ctx, cancel := withDuration(ctx, duration)
	defer cancel()
	stop := e.sayOutages(ctx)
	events, err := e.ask.Record(ctx, inspect.RecordRequest{Once: once}, out)
	stop()
	if err != nil {
		return err
	}
	if file != "-" {
		a.say("%s: %d events", file, events)
	}
	return nil
}
