package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// backend is a connection to a daemon as package runtimesync wants it.
type backend struct {
	*daemon
	opts   *Options
	decode func(line []byte) (*message, error)
}

// Ping implements [runtimesync.Client].
func (b *backend) Ping(ctx context.Context) error {
	_, err := b.ping(ctx)
	return err
}

// Events implements [runtimesync.Client].
func (b *backend) Events(ctx context.Context, since time.Time) (runtimesync.Events, error) {
	from := ""
	if !since.IsZero() {
		from = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	stream, err := b.events(ctx, from)
	if _, answered := errors.AsType[*refusal](err); answered {
		return nil, runtimesync.NoEvents(err)
	}
	if err != nil {
		return nil, err
	}
	return &events{Closer: stream, lines: mapping.NewLines(stream),
		keepStopped: b.opts.KeepStopped, decode: b.decode}, nil
}

// events is the daemon's event stream.
type events struct {
	io.Closer
	lines       *mapping.Lines
	keepStopped bool
	decode      func(line []byte) (*message, error)
}

// Next implements [runtimesync.Events].
func (e *events) Next() ([]runtimesync.Event, error) {
	line, err := e.lines.Next()
	if errors.Is(err, mapping.ErrLongEvent) {
		return nil, runtimesync.Lost(err)
	}
	if err != nil {
		return nil, err
	}
	m, err := e.decode(line)
	if err != nil {
		return nil, runtimesync.Lost(err)
	}
	if m == nil {
		return nil, nil
	}
	return []runtimesync.Event{e.event(m)}, nil
}

// event says what a message means.
func (e *events) event(m *message) runtimesync.Event {
	action, detail := m.Split()
	ev := runtimesync.Event{Name: m.Type + " " + action, ID: m.ID(), At: m.At(),
		Size: m.Size()}
	if action == "prune" {
		ev.Action = runtimesync.ActionCompare
		return ev
	}
	switch m.Type {
	case "container":
		ev.Key = m.Actor.ID
		e.containerEvent(&ev, m, action, detail)
	case "image":
		ev.Action, ev.Key = imageEvent(m, action)
	case "network":
		if action == "connect" || action == "disconnect" {
			ev.Action, ev.Key = runtimesync.ActionChanged, m.Actor.Attributes["container"]
		}
	case "daemon":
		if action == "reload" {
			ev.Action = runtimesync.ActionCompare
		}
	}
	return ev
}

func (e *events) containerEvent(ev *runtimesync.Event, m *message, action, detail string) {
	switch action {
	case "create":
		if e.keepStopped {
			ev.Action = runtimesync.ActionCreated
		}
	case "start":
		ev.Action = runtimesync.ActionStarted
		ev.Container = mapEvent(m)
	case "die", "died": // Podman says died
		ev.Action = runtimesync.ActionEnded
		ev.ExitCode = mapping.ExitCode(m.Actor.Attributes, attributeExitCode, "containerExitCode")
		ev.CodeLabel = attributeExitCode
	case "destroy", "remove":
		ev.Action = runtimesync.ActionRemoved
	case "commit":
		if id := mapping.ImageID(m.Actor.Attributes["imageID"]); mapping.IsFullImageID(id) {
			ev.Action, ev.Key = runtimesync.ActionImageChanged, id
		} else { // not told, or a label says something else
			ev.Action = runtimesync.ActionCompare
		}
	case "oom":
		ev.Action = runtimesync.ActionOOM
	case "pause":
		ev.Action = runtimesync.ActionPaused
	case "unpause":
		ev.Action = runtimesync.ActionResumed
	case "rename":
		ev.Action, ev.Detail = runtimesync.ActionRenamed,
			strings.TrimPrefix(m.Actor.Attributes["name"],
				"/")
	case "health_status":
		ev.Action, ev.Detail = runtimesync.ActionHealth, detail
	case "restart", "update":
		ev.Action = runtimesync.ActionChanged
	}
}

func imageEvent(m *message, action string) (runtimesync.Action, string) {
	id := m.Actor.ID
	switch action {
	case "pull":
		// The actor is the reference that was pulled, not an ID; with Podman it is missing.
		if id == "" {
			id = m.Actor.Attributes["name"]
		}
		return runtimesync.ActionImageChanged, id
	case "tag", "untag", "load", "import":
		return runtimesync.ActionImageChanged, mapping.ImageID(id)
	case "delete":
		return runtimesync.ActionImageRemoved, mapping.ImageID(id)
	}
	return runtimesync.ActionNone, ""
}

// List implements [runtimesync.Client]: it asks for both lists at once. That of images may fail
// without harm to the containers.
func (b *backend) List(ctx context.Context) (runtimesync.Listing, error) {
	var l runtimesync.Listing
	var images []dockerimage.Summary
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				l.ImagesErr = fmt.Errorf("list images: panic: %v", p)
			}
		}()
		images, l.ImagesErr = b.listImages(ctx)
	}()
	containers, err := b.listContainers(ctx, b.opts.KeepStopped)
	<-done
	if err != nil {
		return l, err
	}
	for i := range containers {
		c, err := mapList(&containers[i])
		if err != nil {
			l.Problems = append(l.Problems, err)
			continue
		}
		l.Containers = append(l.Containers, runtimesync.Container{Key: c.ID, Entity: c})
	}
	for i := range images {
		e, err := mapImageList(&images[i])
		if err != nil {
			l.Problems = append(l.Problems, err)
			continue
		}
		l.Images = append(l.Images, runtimesync.Image{Entity: e})
	}
	return l, nil
}

// Inspect implements [runtimesync.Client].
func (b *backend) Inspect(ctx context.Context, id string) (runtimesync.Container, error) {
	in, err := b.inspectContainer(ctx, id)
	if err != nil {
		return runtimesync.Container{}, err
	}
	out, err := mapInspect(&in, b.opts.Env)
	if err != nil {
		return runtimesync.Container{}, err
	}
	if c := out.Entity; c.PID != 0 {
		c.CgroupPath = mapping.CgroupPath(b.opts.ProcRoot, c.PID, c.ID)
		c.CgroupInode = cgroup.Inode(b.opts.ProcRoot, c.CgroupPath)
	}
	return out, nil
}

// InspectImage implements [runtimesync.Client].
func (b *backend) InspectImage(ctx context.Context, ref string, full bool) (runtimesync.Image,
	error) {
	in, err := b.inspectImage(ctx, ref)
	if err != nil {
		return runtimesync.Image{}, err
	}
	var history []dockerimage.HistoryResponseItem
	if full {
		if history, err = b.imageHistory(ctx, in.ID); err != nil && !errdefs.IsNotFound(err) {
			return runtimesync.Image{}, err
		}
	}
	e, err := mapImage(&in, history, b.opts.Env)
	return runtimesync.Image{Entity: e, Complete: full}, err
}
