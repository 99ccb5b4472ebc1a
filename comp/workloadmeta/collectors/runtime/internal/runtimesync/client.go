package runtimesync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Client is one connection to a container runtime. Its methods may be called from several
// goroutines, and each ends when its context does. Objects that do not exist are errors for which
// errdefs.IsNotFound is true.
type Client interface {
	// Events opens the event stream, which ends with ctx. since is the time of the newest event
	// that an earlier connection has handled, zero if there was none; a runtime that does not keep
	// events ignores it. Its error may be marked by [NoEvents].
	Events(ctx context.Context, since time.Time) (Events, error)
	// List returns everything there is.
	List(ctx context.Context) (Listing, error)
	// Inspect returns all that can be known of a container. [ErrNotCollected] says that it is not
	// to be reported any more.
	Inspect(ctx context.Context, key string) (Container, error)
	// InspectImage returns an image by its ID or by what an event called it. With full, it is
	// Complete. If it does not exist, the result may name in Entity the image that has lost its
	// last name.
	InspectImage(ctx context.Context, ref string, full bool) (Image, error)
	// Ping is the cheapest call there is. It tells a slow object from a slow runtime.
	Ping(ctx context.Context) error
}

// ErrNotCollected marks an object that may exist, and that the client leaves to somebody else. For
// it errdefs.IsNotFound is true.
var ErrNotCollected = fmt.Errorf("it is not collected: %w", errdefs.ErrNotFound)

// Events is an event stream. One goroutine reads it.
type Events interface {
	// Next waits for events and returns them; there may be none. It returns io.EOF when the stream
	// has ended, and an error for which [IsLost] is true when events could not be read and the
	// stream goes on.
	Next() ([]Event, error)
	// Close releases the stream; it may be called while Next waits, which then returns.
	Close() error
}

// Lost marks an error of [Events.Next] after which the stream goes on. The lists are then compared
// to make up for what was lost.
func Lost(err error) error { return &lostError{err} }

// IsLost reports whether err was marked by [Lost].
func IsLost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok
}

type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// Action is what an event tells.
type Action uint8

// The actions. What a runtime has no event for is found by comparing lists.
const (
	ActionNone Action = iota // counted, otherwise ignored
	// the container's process has started; Container may have what the event tells of it
	ActionStarted
	ActionEnded   // the container's process has ended; ExitCode, if known
	ActionRemoved // the container is gone
	// the container exists and may be started soon: what an inspection tells now may be all there
	// will ever be
	ActionCreated
	ActionChanged // look again
	ActionPaused
	ActionResumed
	ActionRenamed // to Detail, if not empty
	ActionHealth  // is now Detail; empty: look
	// something in the container was killed for want of memory; the container may live on
	ActionOOM

	ActionImageChanged // an image is there, or has other names
	ActionImageRemoved // an image is gone; Key is its ID

	ActionCompare // compare with the lists
)

// Event is what a runtime tells.
type Event struct {
	Action Action
	Key    string    // of the container, or what the runtime calls the image
	At     time.Time // by the runtime's clock; zero if it does not tell
	// Name is what the runtime calls the event, "container start", for the statistics.
	Name string
	// ID recognises an event that a new connection repeats; "" = it never is.
	ID string
	// Container is what a start tells of the container: it runs since then. nil = nothing.
	Container *workloadmeta.Container
	Sandbox   bool   // it is known to be a pod's sandbox
	ExitCode  *int64 // of ActionEnded; nil = not known
	// CodeLabel is a label that would hide the exit code: of a container that has it, ExitCode is
	// what the label says.
	CodeLabel string
	Detail    string
	Size      int // roughly what the event takes in memory, in bytes
}

// Container is what a runtime tells of a container.
type Container struct {
	// Key is by which the runtime knows the container. It is the entity's ID, or has more in it
	// where that is not unique.
	Key string
	// Entity is new; the syncer owns it. Of its image, ID and RawName are enough.
	Entity *workloadmeta.Container
	// Complete says that an inspection would not tell more.
	Complete bool
	Sandbox  bool
	// Policy is when the runtime starts the container again: "no", "always", "unless-stopped",
	// "on-failure"; "" = not known.
	Policy string
	// Keep says that the container is to be kept while it does not run, until it is removed.
	Keep bool
}

// Image is what a runtime tells of an image.
type Image struct {
	// Entity is new; the syncer owns it.
	Entity   *workloadmeta.ContainerImageMetadata
	Complete bool
	// Seq orders answers about one image that were on their way together: a smaller one is older.
	// Clients that do not put an image together from several answers leave it 0.
	Seq uint64
}

// Listing is everything a runtime has.
type Listing struct {
	Containers []Container
	Images     []Image
	// no image is missing; otherwise those may be that only other images are made of
	AllImages bool
	ImagesErr error   // the images are not known
	Problems  []error // entries that make no sense and were left out
}
