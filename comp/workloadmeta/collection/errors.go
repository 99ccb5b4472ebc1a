package collection

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Errors of the supervisor.
var (
	// ErrNoFetcher: no collector that is running here can look this kind of entity up.
	ErrNoFetcher = errors.New("no collector can look this up")
	// ErrNotRunning: the supervisor has not been started, or has been stopped.
	ErrNotRunning = errors.New("the collectors are not running")
	// ErrRateLimited: too many look-ups at once; this one was not made.
	ErrRateLimited = errors.New("too many look-ups")

	errHangs       = errors.New("does not return from earlier look-ups")
	errStreamEnded = errors.New("the stream ended")
)

// Permanent marks an error after which trying again is pointless, such as an option
// that can never work. It stops the collector that returns it. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err or something it wraps was marked by [Permanent].
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Closed marks an error as the usual end of a connection, such as a service that ends when its
// time is over: a stream that was synced and returns it begins again, and nothing has failed
// unless that does. Closed(nil) is nil.
func Closed(err error) error {
	if err == nil {
		return nil
	}
	return &closedError{err}
}

type closedError struct{ err error }

func (e *closedError) Error() string { return e.err.Error() }
func (e *closedError) Unwrap() error { return e.err }

func isClosed(err error) bool {
	_, ok := errors.AsType[*closedError](err)
	return ok
}

// PanicError is what becomes of a panic in a collector.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// guard calls f and turns a panic into an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
