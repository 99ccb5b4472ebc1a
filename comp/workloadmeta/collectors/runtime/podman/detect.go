package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

const (
	permissionHint = "run as root, or as the user whose socket it is"
	enableHint     = "enable its socket: `systemctl enable --now podman.socket`, for a user's containers `systemctl --user enable --now podman.socket` as that user"
)

// place is where a socket may be.
type place struct {
	address string // as parseAddress reads it; its path may be a pattern
	any     bool   // it may be Docker's; until a Podman has answered there, nothing is said of it
	named   bool   // by somebody, so that it is worth a word if nothing is there
}

// paths are where this machine shows that it has a Podman without a socket. A test replaces them.
type paths struct {
	program string   // looked for in PATH, too
	storage []string // patterns
}

func defaultPaths() paths {
	return paths{
		program: "podman",
		storage: []string{"/var/lib/containers/storage", "/home/*/.local/share/containers/storage",
			"/host/var/lib/containers/storage"},
	}
}

// placesFor returns where to look for sockets: at the configured addresses or, without any, at the
// default ones and those that the environment names. What the environment names and cannot be used
// is left out: DOCKER_HOST is not about us.
func placesFor(configured []string) []place {
	var places []place
	if len(configured) > 0 {
		for _, a := range configured {
			places = append(places, place{a, false, true})
		}
		return places
	}
	for _, path := range DefaultSockets() {
		places = append(places, place{path, false, false})
	}
	if a := os.Getenv("CONTAINER_HOST"); a != "" {
		places = append(places, place{a, false, true})
	}
	if a := os.Getenv("DOCKER_HOST"); a != "" {
		places = append(places, place{a, true, false})
	}
	return places
}

type foundSocket struct {
	place   place
	address address
}

// find returns the sockets that are worth a connection: those that exist, once each, and addresses
// that are no files.
func (c *Collector) find() []foundSocket {
	var found []foundSocket
	var files []string
	from := map[string]place{}
	for _, p := range c.places {
		a, err := parseAddress(p.address)
		switch {
		case err != nil:
		case a.network != "unix" || c.opts.Dial != nil:
			found = once(found, foundSocket{p, a})
		default:
			matches := []string{a.target}
			if strings.Contains(a.target, "*") {
				// a pattern that makes no sense matches nothing
				matches, _ = filepath.Glob(a.target)
			}
			for _, path := range matches {
				if _, ok := from[path]; !ok {
					from[path] = p
					files = append(files, path)
				}
			}
		}
	}
	for _, path := range mapping.Distinct(files) {
		found = append(found, foundSocket{from[path], address{"unix", path}})
	}
	return found
}

// findMissing returns the addresses that somebody has named and at which there is nothing. A
// pattern that matches nothing is not one.
func (c *Collector) findMissing() []foundSocket {
	var out []foundSocket
	for _, p := range c.places {
		a, err := parseAddress(p.address)
		if err == nil && p.named && a.network == "unix" && c.opts.Dial == nil &&
			!strings.Contains(a.target, "*") && !exists(a.target) {
			out = once(out, foundSocket{p, a})
		}
	}
	return out
}

// once adds a socket to a list, unless its address is there.
func once(list []foundSocket, f foundSocket) []foundSocket {
	if slices.ContainsFunc(list, func(o foundSocket) bool { return o.address == f.address }) {
		return list
	}
	return append(list, f)
}

func invalid(err error) workloadmeta.Problem {
	return workloadmeta.Problem{Cause: workloadmeta.CauseInvalid, Reason: err.Error()}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Detect implements [workloadmeta.Collector]. A socket at which nobody listens at the moment counts
// as detected: what made it is expected back.
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	var good, bad []workloadmeta.Problem
	for _, f := range c.find() {
		switch state, p := c.probe(ctx, f); state {
		case mapping.SocketOpen, mapping.SocketQuiet:
			good = append(good, p)
		case mapping.SocketUnfit:
			bad = append(bad, p)
		}
	}
	for _, p := range c.places {
		if _, err := parseAddress(p.address); err != nil && p.named {
			bad = append(bad, invalid(err))
		}
	}
	if len(good) > 0 {
		d := mapping.Found(workloadmeta.Detected, good[0])
		d.More = append(good[1:], bad...)
		return d
	}
	if len(bad) == 0 {
		bad = append(bad, c.missing())
	}
	return mapping.Undetected(bad)
}

// ours reports whether what is wrong at an address is our business: DOCKER_HOST is usually about a
// Docker daemon, which may be down.
func (c *Collector) ours(p place, a address) bool {
	if !p.any {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered[a]
}

// setAnswered notes who has answered at an address that may be Docker's.
func (c *Collector) setAnswered(p place, a address, podman bool) {
	if p.any {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.answered[a] = podman
		if delete(c.docker, a); !podman {
			c.docker[a] = time.Now()
		}
	}
}

// dockerFor is how long a Docker daemon at an address is taken for the one that stays there.
const dockerFor = 5 * time.Minute

// leftOut reports whether it is known that Docker answers at an address.
func (c *Collector) leftOut(a address) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok := c.docker[a]
	return ok && time.Since(since) < dockerFor
}

// probe says what there is behind an address, of which only what is ours is worth a word.
func (c *Collector) probe(ctx context.Context, f foundSocket) (mapping.SocketState,
	workloadmeta.Problem) {
	state, p := c.look(ctx, f)
	if state != mapping.SocketOpen && !c.ours(f.place, f.address) {
		return mapping.SocketAbsent, workloadmeta.Problem{}
	}
	return state, p
}

// look says what there is behind an address. At a path of Podman's own nobody else is expected;
// anywhere else it is asked.
func (c *Collector) look(ctx context.Context, f foundSocket) (mapping.SocketState,
	workloadmeta.Problem) {
	c.mu.Lock()
	s := c.sockets[f.address]
	c.mu.Unlock()
	if s != nil && s.connected.Load() { // nothing is to be learnt by another connection
		version, _ := s.last()
		return mapping.SocketOpen, workloadmeta.Problem{
			Reason: fmt.Sprintf("podman %s answers at %s", version, f.address)}
	}
	if f.address.network == "unix" && c.opts.Dial == nil {
		state, p := mapping.ProbeSocket(ctx, f.address.target, permissionHint)
		if state != mapping.SocketOpen || !f.place.any {
			if state == mapping.SocketOpen {
				p.Reason = "podman socket at " + f.address.target
			}
			return state, p
		}
	}
	if c.leftOut(f.address) {
		return mapping.SocketAbsent, workloadmeta.Problem{}
	}
	ctx, cancel := context.WithTimeout(ctx, mapping.ProbeTimeout)
	defer cancel()
	b := newService(f.address, &c.opts, c.log)
	defer b.close()
	err := b.connect(ctx)
	switch _, network := errors.AsType[net.Error](err); {
	case err == nil:
		c.setAnswered(f.place, f.address, true)
		return mapping.SocketOpen, workloadmeta.Problem{
			Reason: fmt.Sprintf("podman %s answers at %s", b.version, f.address)}
	case errors.Is(err, errDocker) && f.place.any:
		c.setAnswered(f.place, f.address, false)
		return mapping.SocketAbsent, workloadmeta.ProblemOf(err)
	case network && !errors.Is(err, fs.ErrPermission):
		// As with a socket at which nobody listens.
		return mapping.SocketQuiet,
			workloadmeta.ProblemOf(c.explain(f, err, mapping.ProbeTimeout))
	default:
		return mapping.SocketUnfit,
			workloadmeta.ProblemOf(c.explain(f, err, mapping.ProbeTimeout))
	}
}

// missing says where there is no socket, and what to do about it.
func (c *Collector) missing() workloadmeta.Problem {
	var where []string
	for _, p := range c.places {
		if !p.any && !strings.HasPrefix(p.address, "/host/") &&
			!slices.Contains(where, mapping.Redact(p.address)) {
			where = append(where, mapping.Redact(p.address))
		}
	}
	none := workloadmeta.Problem{Cause: workloadmeta.CauseAbsent,
		Reason: "no podman socket at " + strings.Join(where, " or ")}
	if !slices.ContainsFunc(where, func(a string) bool { return !strings.HasPrefix(a, "tcp:") }) {
		return none // what this machine has is of no consequence
	}
	for _, pattern := range c.paths.storage {
		if matches, err := filepath.Glob(pattern); err == nil && len(matches) > 0 {
			none.Reason += ", but container storage in " + matches[0]
			none.Hint = "if it is Podman's, " + enableHint
			return none
		}
	}
	if _, err := exec.LookPath(c.paths.program); err == nil {
		none.Reason += ", but podman is installed"
		none.Hint = enableHint
		return none
	}
	none.Hint = "set podman.sockets or CONTAINER_HOST"
	return none
}

// explain returns the error of a connection that has failed with its cause and a hint, after
// waiting for answers for as long as limit.
func (c *Collector) explain(f foundSocket, err error, limit time.Duration) error {
	why := workloadmeta.Error{Cause: workloadmeta.CauseOf(err), Err: err}
	switch why.Cause {
	case workloadmeta.CauseDenied:
		why.Err = fmt.Errorf("permission denied on %s", f.address)
		if !f.place.any { // it may be meant for others
			why.Hint = permissionHint
		}
	case workloadmeta.CauseAbsent:
		why.Err = fmt.Errorf("no socket at %s", f.address)
		why.Hint = startHint(f.address)
	case workloadmeta.CauseRefused:
		why.Err = fmt.Errorf("connection refused on %s", f.address)
		why.Hint = startHint(f.address)
	case workloadmeta.CauseTimeout:
		why.Err = fmt.Errorf("podman at %s does not answer within %v", f.address, limit)
		why.Hint = "restart its service, without which containers go on running"
	case "":
		return err
	}
	return &why
}

func noSocket(a address) workloadmeta.Problem {
	return workloadmeta.Problem{Cause: workloadmeta.CauseAbsent,
		Reason: "no socket at " + a.String(), Hint: startHint(a)}
}

// startHint says how to start what should listen at an address.
func startHint(a address) string {
	const system, user = "`systemctl enable --now podman.socket`",
		"`systemctl --user enable --now podman.socket` as its user"
	switch path := strings.TrimPrefix(a.target, "/host"); {
	case a.network != "unix":
		return "see that `podman system service` listens there"
	case path == "/run/podman/podman.sock":
		return "start it with " + system
	case strings.HasPrefix(path, "/run/user/"):
		return "start it with " + user
	}
	return "start it with " + system + ", a user's with " + user + ", or name its right path"
}
