package mapping

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// ProbeTimeout bounds how long one address may hold up a detection.
const ProbeTimeout = 500 * time.Millisecond

// SocketState is what [ProbeSocket] has found.
type SocketState uint8

// Socket states.
const (
	SocketAbsent SocketState = iota // nothing there
	// something is there that cannot be used: no permission, or no socket
	SocketUnfit
	// a socket at which nobody answers now; the daemon that made it is expected back
	SocketQuiet
	SocketOpen // somebody listens
)

// ProbeSocket says whether the Unix socket at path can be used, and if not, why. It connects and
// hangs up, which a daemon does not notice. denied is what to do where access is denied: "add the
// user to group docker".
func ProbeSocket(ctx context.Context, path, denied string) (SocketState, workloadmeta.Problem) {
	unfit := func(cause workloadmeta.Cause, reason, hint string) (SocketState,
		workloadmeta.Problem) {
		return SocketUnfit, workloadmeta.Problem{Cause: cause, Reason: reason, Hint: hint}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return SocketAbsent, workloadmeta.Problem{Cause: workloadmeta.CauseAbsent,
			Reason: "no socket at " + path}
	case errors.Is(err, fs.ErrPermission):
		return unfit(workloadmeta.CauseDenied, "permission denied on "+path, denied)
	case err != nil:
		return unfit(workloadmeta.CauseOf(err), fmt.Sprintf("cannot look at %s: %v", path, err), "")
	case info.IsDir():
		return unfit(workloadmeta.CauseAbsent, path+" is a folder, not a socket",
			"a bind mount may have made it before the daemon started")
	case info.Mode()&fs.ModeSocket == 0:
		return unfit(workloadmeta.CauseAbsent, path+" is not a socket", "")
	}
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		conn.Close() // nothing was sent
		return SocketOpen, workloadmeta.Problem{}
	case errors.Is(err, fs.ErrPermission):
		return unfit(workloadmeta.CauseDenied, "permission denied on "+path, denied)
	}
	return SocketQuiet, workloadmeta.Problem{Cause: workloadmeta.CauseOf(err),
		Reason: fmt.Sprintf("socket at %s, but nobody answers: %v", path, errors.Unwrap(err))}
}

// Candidates returns the paths at which it makes sense to look here, in order: of two that are the
// same wherever /var/run is a link to /run the first only, and those below /host only where the
// machine's files are mounted there, as in a container.
func Candidates(paths []string) []string {
	linked := SameFile("/var/run", "/run")
	host, err := os.Stat("/host")
	mounted := err == nil && host.IsDir()
	var out []string
	seen := map[string]bool{}
	for _, path := range paths {
		key := path
		if linked {
			key = strings.Replace(path, "/var/run/", "/run/", 1)
		}
		if seen[key] || strings.HasPrefix(path, "/host/") && !mounted {
			continue
		}
		seen[key] = true
		out = append(out, path)
	}
	return out
}

// SameFile reports whether two paths lead to one file that is there.
func SameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// Distinct returns the paths that exist, in order, without those that lead to a file that an
// earlier one leads to: a symbolic link /var/run → /run gives one socket two paths. A path that
// cannot be looked at counts as existing.
func Distinct(paths []string) []string {
	var out []string
	var seen []os.FileInfo
next:
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			for _, s := range seen {
				if os.SameFile(s, info) {
					continue next
				}
			}
			seen = append(seen, info)
		}
		out = append(out, path)
	}
	return out
}

// Redact returns an address without the password that it may have in it: addresses are shown in
// status and in the log.
func Redact(address string) string {
	start := strings.Index(address, "://") + len("://")
	end := strings.LastIndexByte(address, '@')
	if start < len("://") || end < start {
		return address
	}
	user, _, ok := strings.Cut(address[start:end], ":")
	if !ok {
		return address
	}
	return address[:start] + user + ":…" + address[end:]
}
