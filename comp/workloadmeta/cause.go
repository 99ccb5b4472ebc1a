package workloadmeta

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Cause says for programs why a source of information cannot be read. The zero value means
// that it is not known, or that nothing is wrong.
type Cause string

// Causes. Values may be added.
const (
	// CauseAbsent: there is nothing to read: no socket, no file, no such host.
	CauseAbsent Cause = "absent"
	// CauseDenied: the operating system does not let this user in.
	CauseDenied Cause = "denied"
	// CauseRefused: the address is there, and nobody listens.
	CauseRefused Cause = "refused"
	// CauseTimeout: somebody listens and does not answer in time.
	CauseTimeout Cause = "timeout"
	// CauseUnauthenticated: the source does not know who asks.
	CauseUnauthenticated Cause = "unauthenticated"
	// CauseForbidden: the source knows who asks and does not allow it.
	CauseForbidden Cause = "forbidden"
	// CauseUnverified: who answers cannot prove to be who was asked, such as with a certificate
	// that nobody trusted has signed.
	CauseUnverified Cause = "unverified"
	// CauseWrongPeer: something else than what was expected answers.
	CauseWrongPeer Cause = "wrong_peer"
	// CauseUnsupported: the source does not serve what is asked for, or cannot here.
	CauseUnsupported Cause = "unsupported"
	// CauseInvalid: an option or a variable has a value that cannot work.
	CauseInvalid Cause = "invalid"
	// CauseOff: it is switched off.
	CauseOff Cause = "off"
)

// Causes lists all causes. The caller owns the slice.
func Causes() []Cause {
	return []Cause{CauseAbsent, CauseDenied, CauseRefused, CauseTimeout, CauseUnauthenticated,
		CauseForbidden, CauseUnverified, CauseWrongPeer, CauseUnsupported, CauseInvalid, CauseOff}
}

// Hint says what to do about a cause where nothing more precise is known, "" if that depends.
func (c Cause) Hint() string {
	switch c {
	case CauseAbsent:
		return "start the daemon"
	case CauseDenied:
		return "run as root, or give this user access"
	case CauseRefused:
		return "nobody listens there: start the daemon; in a container, mount the socket's folder, " +
			"because a mounted socket is the old one after a restart"
	case CauseTimeout:
		return "the daemon takes connections and does not answer: look at its log; a restart of it " +
			"leaves containers running where live restore is on, as it is by itself with " +
			"containerd and Podman"
	case CauseUnauthenticated:
		return "check the certificate or token that is sent"
	case CauseForbidden:
		return "give the account that asks the right to read"
	case CauseUnverified:
		return "give the certificate of who signs for the daemon"
	case CauseWrongPeer:
		return "something else answers at this address: check the option"
	case CauseUnsupported:
		return "the daemon does not serve this interface: check the option, and whether its CRI " +
			"plugin is on"
	}
	return ""
}

// Problem is why something cannot be read, as data.
type Problem struct {
	Cause  Cause  `json:"cause,omitempty"`
	Reason string `json:"reason,omitempty"` // what was found, looked for, or has failed
	Hint   string `json:"hint,omitempty"`   // what to do about it
}

// String returns the reason and the hint, on one line for people.
func (p Problem) String() string {
	if p.Hint == "" {
		return p.Reason
	}
	return p.Reason + "; " + p.Hint
}

// Err returns the problem as an error.
func (p Problem) Err() error {
	return &Error{Cause: p.Cause, Hint: p.Hint, Err: errors.New(p.Reason)}
}

// ProblemOf returns what an error says, with the hint of its cause if it has none itself.
func ProblemOf(err error) Problem {
	if err == nil {
		return Problem{}
	}
	p := Problem{Cause: CauseOf(err), Reason: err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		p.Hint = e.Hint
	}
	if p.Hint == "" {
		p.Hint = hintOf(p.Cause, err)
	}
	return p
}

// hintOf returns what to do about an error that has no hint itself. Where it is of the network
// there is no socket of a daemon on this machine.
func hintOf(cause Cause, err error) string {
	name, _ := errors.AsType[*net.DNSError](err)
	call, _ := errors.AsType[*net.OpError](err)
	remote := call != nil && strings.HasPrefix(call.Net, "tcp")
	switch {
	case cause == CauseAbsent && name != nil:
		return "there is no such host: check the name in the option, and the name server"
	case cause == CauseTimeout && name != nil:
		return "the name server does not answer: give an address instead of the name, or mend that"
	case cause == CauseTimeout && remote && call.Op == "dial":
		return "nothing answers at this address: check it, and the firewalls on the way"
	case cause == CauseRefused && remote:
		return "nobody listens at this address: check host and port, and whether the server runs"
	}
	return cause.Hint()
}

// Error gives an error of a collector its cause, and a hint what to do. Its text is that of
// Err.
type Error struct {
	Cause Cause
	Hint  string // may be empty
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf returns the cause that an error carries in an [Error], or else the one that it shows
// itself: those of the operating system, of the network and of contexts.
func CauseOf(err error) Cause {
	if e, ok := errors.AsType[*Error](err); ok && e.Cause != "" {
		return e.Cause
	}
	network, _ := errors.AsType[net.Error](err)
	name, _ := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		return CauseDenied
	case errors.Is(err, fs.ErrNotExist), name != nil && name.IsNotFound:
		return CauseAbsent
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		network != nil && network.Timeout():
		return CauseTimeout
	case errors.Is(err, errors.ErrUnsupported):
		return CauseUnsupported
	}
	return ""
}
