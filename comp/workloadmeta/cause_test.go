package workloadmeta_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func TestCauseOf(t *testing.T) {
	_, missing := os.Stat(t.TempDir() + "/missing")
	plain := errors.New("what")
	for _, tc := range []struct {
		err  error
		want workloadmeta.Cause
	}{
		{nil, ""},
		{plain, ""},
		{missing, workloadmeta.CauseAbsent},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
			workloadmeta.CauseRefused},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)},
			workloadmeta.CauseDenied},
		{&net.DNSError{IsNotFound: true}, workloadmeta.CauseAbsent},
		{&net.DNSError{IsTimeout: true}, workloadmeta.CauseTimeout},
		{fmt.Errorf("ping: %w", context.DeadlineExceeded), workloadmeta.CauseTimeout},
		{context.Canceled, ""},
		{errors.ErrUnsupported, workloadmeta.CauseUnsupported},
		// What a collector says counts before what the error shows.
		{fmt.Errorf("list: %w", &workloadmeta.Error{Cause: workloadmeta.CauseForbidden,
			Err: fs.ErrPermission}), workloadmeta.CauseForbidden},
		{&workloadmeta.Error{Hint: "ask again", Err: fs.ErrPermission}, workloadmeta.CauseDenied},
		{errors.Join(plain, &workloadmeta.Error{Cause: workloadmeta.CauseOff, Err: plain}),
			workloadmeta.CauseOff},
	} {
		if got := workloadmeta.CauseOf(tc.err); got != tc.want {
			t.Errorf("CauseOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestProblems(t *testing.T) {
	d := workloadmeta.Detection{Cause: workloadmeta.CauseDenied, Reason: "permission denied on a",
		Hint: "run as root", More: []workloadmeta.Problem{{Reason: "no socket at b"}}}
	if got, want := d.String(), "permission denied on a; run as root; no socket at b"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	// As an error it loses nothing.
	got := workloadmeta.ProblemOf(fmt.Errorf("connect: %w", d.Err()))
	want := workloadmeta.Problem{Cause: workloadmeta.CauseDenied,
		Reason: "connect: permission denied on a\nno socket at b", Hint: "run as root"}
	if got != want {
		t.Errorf("ProblemOf its error = %+v, want %+v", got, want)
	}
	// Without a hint of its own, an error has that of its cause.
	if p := workloadmeta.ProblemOf(syscall.ECONNREFUSED); p.Hint != p.Cause.Hint() || p.Hint == "" {
		t.Errorf("ProblemOf(ECONNREFUSED) = %+v", p)
	}
	if p := workloadmeta.ProblemOf(nil); p != (workloadmeta.Problem{}) {
		t.Errorf("ProblemOf(nil) = %+v", p)
	}
	// What is off, or has no valid value, is told by whoever knows where to change that.
	for _, c := range workloadmeta.Causes() {
		own := slices.Contains([]workloadmeta.Cause{workloadmeta.CauseOff,
			workloadmeta.CauseInvalid}, c)
		if (c.Hint() == "") != own {
			t.Errorf("cause %s has the hint %q", c, c.Hint())
		}
	}
}

// Who asks over the network is not told about daemons and sockets of this machine.
func TestHintsOfTheNetwork(t *testing.T) {
	const address, local = "address", "daemon"
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for _, tc := range []struct {
		err       error
		want, not string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Err: refused}, "host and port", local},
		{&net.OpError{Op: "dial", Net: "tcp6", Err: refused}, "host and port", local},
		{&net.OpError{Op: "dial", Net: "unix", Err: refused}, local, "port"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{IsNotFound: true}}, "name", local},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{IsTimeout: true}}, "name server",
			local},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, address, local},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, local, address},
		{&workloadmeta.Error{Cause: workloadmeta.CauseRefused,
			Err: fmt.Errorf("list: %w", &net.OpError{Op: "dial", Net: "tcp", Err: refused})},
			"host and port", local},
		{&workloadmeta.Error{Hint: "mine", Err: &net.OpError{Net: "tcp", Err: refused}}, "mine",
			address},
	} {
		got := workloadmeta.ProblemOf(tc.err).Hint
		if !strings.Contains(got, tc.want) || strings.Contains(got, tc.not) {
			t.Errorf("%v: hint %q; want %q, and nothing of %q", tc.err, got, tc.want, tc.not)
		}
	}
}
