package docker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/runtimes"
)

// requestedActions are the events asked for. The daemon filters by action whatever the type, and takes an action for
// a prefix of what it sends ("health_status: healthy"). Not asked for: exec_*, of which every health check makes three.
var requestedActions = []string{
	"create", "start", "restart", "pause", "unpause", "update", "rename", "health_status", "oom", "die", "destroy", "commit", "prune",
	"connect", "disconnect",
	"pull", "tag", "untag", "delete", "load", "import",
	"reload",
}

// message is an event as it is on the wire. Only the fields that every API version sends are read: from 1.52 on, status, id
// and from are no longer there.
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

// exitCode returns the code in a die event, or nil. Podman spells the attribute differently.
func exitCode(attributes map[string]string) *int64 {
	for _, key := range []string{"exitCode", "containerExitCode"} {
		if code, err := strconv.ParseInt(attributes[key], 10, 64); err == nil && code >= 0 {
			return &code
		}
	}
	return nil
}

// decodeEvent reads one line of the event stream. A field of an unexpected type is left empty.
func decodeEvent(line []byte) (*message, error) {
	m := new(message)
	if err := runtimes.LenientJSON(json.Unmarshal(line, m)); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	if m.Type == "" || m.Action == "" {
		return nil, errors.New("decode event: no Type or no Action")
	}
	return m, nil
}

// maxEvent is the longest event that is read, in bytes. Events carry all labels of their container.
const maxEvent = 4 << 20

// errLongEvent reports an event longer than maxEvent, which was skipped.
var errLongEvent = fmt.Errorf("an event is longer than %d bytes", maxEvent)

// lines reads the stream line by line: the daemon ends every event with a newline in every media type it
// offers, and so one bad event does not spoil the next.
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) *lines { return &lines{bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line that is not empty, without its end and without the record separator of json-seq. The slice is
// valid until the next call. After errLongEvent it can be called again.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.long(line)
		}
		if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
			return nil, err
		}
		if line = bytes.Trim(line, "\x1e \t\r\n"); len(line) > 0 {
			return line, nil
		}
	}
}

// long collects a line that does not fit the buffer.
func (l *lines) long(start []byte) ([]byte, error) {
	line := bytes.Clone(start)
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxEvent; !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil && tooLong:
			return nil, errLongEvent
		default:
			return line, err
		}
	}
}
