package collectortest

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// LogCount is a handler that counts what a person would see in the log.
type LogCount struct {
	// From is the lowest level that counts; the zero is [slog.LevelInfo].
	From slog.Level

	n atomic.Int64
}

// N returns how many lines there were.
func (c *LogCount) N() int64 { return c.n.Load() }

// Enabled is for package slog.
func (c *LogCount) Enabled(_ context.Context, l slog.Level) bool { return l >= c.From }

// Handle is for package slog.
func (c *LogCount) Handle(context.Context, slog.Record) error { c.n.Add(1); return nil }

// WithAttrs is for package slog.
func (c *LogCount) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup is for package slog.
func (c *LogCount) WithGroup(string) slog.Handler { return c }
