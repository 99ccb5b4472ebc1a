package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// requestedActions are the events asked for. The daemon filters by action whatever the type, and
// takes an action for a prefix of what it sends ("health_status: healthy"). Not asked for: exec_*,
// of which every health check makes three.
var requestedActions = []string{
	"create", "start", "restart", "pause", "unpause", "update", "rename", "health_status", "oom",
	"die", "destroy", "commit", "prune",
	"connect", "disconnect",
	"pull", "tag", "untag", "delete", "load", "import",
	"reload",
}

// message is an event as it is on the wire. Only the fields that every API version sends are read:
// from 1.52 on, status, id and from are no longer there.
type message struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`     // seconds since 1970
	TimeNano int64 `json:"timeNano"` // nanoseconds since 1970, not only the fraction
}

// at returns when the event happened.
func (m *message) at() time.Time {
	switch {
	case m.TimeNano != 0:
		return time.Unix(0, m.TimeNano).UTC()
	case m.Time != 0:
		return time.Unix(m.Time, 0).UTC()
	}
	return time.Time{}
}

// action splits "health_status: healthy" into what happened and how.
func (m *message) action() (name, detail string) {
	name, detail, _ = strings.Cut(m.Action, ":")
	return name, strings.TrimSpace(detail)
}

// size is roughly what the event takes in memory.
func (m *message) size() int {
	n := 256 + len(m.Actor.ID)
	for k, v := range m.Actor.Attributes {
		n += len(k) + len(v) + 48
	}
	return n
}

// decodeEvent reads one line of the event stream. A field of an unexpected type is left empty.
func decodeEvent(line []byte) (*message, error) {
	m := new(message)
	if err := mapping.LenientJSON(json.Unmarshal(line, m)); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	if m.Type == "" || m.Action == "" {
		return nil, errors.New("decode event: no Type or no Action")
	}
	return m, nil
}
