package main

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// remedies say what to do about failures that daemons and the network have in common, by what their
// errors say.
var remedies = [...]struct{ words, remedy string }{
	{"connection refused",
		"nobody listens there: start the daemon; in a container, mount the socket's folder, because a mounted socket is the old one after a restart"},
	{"no such file or directory", "the socket has gone: start the daemon"},
	{"deadline exceeded",
		"the daemon takes connections and does not answer: look at its log; a restart of it leaves containers running where live restore is on, as it is by itself with containerd and Podman"},
	{"malformed HTTP", "something else answers at this address: check the option"},
	{"frame too large", "something else answers at this socket: check the option"},
	{"error reading server preface", "something else answers at this socket: check the option"},
	{"Unimplemented",
		"the daemon does not serve this interface: check the option, and whether its CRI plugin is on"},
}

// remedy returns what to do about a failure, "" if that is not known or the reason says so itself.
func remedy(reason string) string {
	if strings.Contains(reason, "; ") {
		return ""
	}
	for _, r := range remedies {
		if strings.Contains(reason, r.words) {
			return r.remedy
		}
	}
	return ""
}

// unanswered is a collector that could not be asked about an entity.
type unanswered struct {
	Collector string `json:"collector"`
	Reason    string `json:"reason"`
}

// unanswered returns the collectors of a kind that have something to tell, and do not: what is
// known may lack their word. Those that have nothing to collect here are not among them.
func (e *engine) unanswered(kind workloadmeta.Kind) []unanswered {
	if e.supervisor == nil {
		return nil
	}
	var out []unanswered
	for _, s := range e.supervisor.Status() {
		for _, k := range s.Kinds {
			if k == kind &&
				(s.State == collection.StateDegraded || s.State == collection.StateFailed ||
					s.State == collection.StateConnecting ||
					s.State == collection.StateWaiting &&
						strings.Contains(s.Reason, "permission denied")) {
				out = append(out, unanswered{s.ID, s.Reason})
			}
		}
	}
	return out
}
