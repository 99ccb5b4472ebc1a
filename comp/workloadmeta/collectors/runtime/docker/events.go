package docker

import (
	"encoding/json"
	"errors"
	"fmt"

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

// message is an event as it is on the wire.
type message = mapping.Message

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
