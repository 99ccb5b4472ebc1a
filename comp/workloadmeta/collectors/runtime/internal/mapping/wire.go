package mapping

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// What Docker's interface and Podman's have in common on the wire.

// MaxEvent is the longest event that is read, in bytes. Events carry all labels of their container.
const MaxEvent = 4 << 20

// ErrLongEvent reports an event longer than [MaxEvent], which was skipped.
var ErrLongEvent = fmt.Errorf("an event is longer than %d bytes", MaxEvent)

// Lines reads a stream of events line by line: the daemons end every event with a newline in every
// media type that they offer, and so one bad event does not spoil the next.
type Lines struct{ r *bufio.Reader }

// NewLines returns the lines of a stream.
func NewLines(r io.Reader) *Lines { return &Lines{bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next line that is not empty, without its end and without the record separator of
// json-seq. The slice is valid until the next call. After [ErrLongEvent] it can be called again.
func (l *Lines) Next() ([]byte, error) {
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
func (l *Lines) long(start []byte) ([]byte, error) {
	line := bytes.Clone(start)
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > MaxEvent; !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil && tooLong:
			return nil, ErrLongEvent
		default:
			return line, err
		}
	}
}

// Message is an event as it is on the wire. Only the fields that every version of Docker's
// interface sends are read: from 1.52 on, status, id and from are no longer there.
type Message struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`     // seconds since 1970
	TimeNano int64 `json:"timeNano"` // nanoseconds since 1970, not only the fraction
}

// At returns when the event happened.
func (m *Message) At() time.Time {
	switch {
	case m.TimeNano != 0:
		return time.Unix(0, m.TimeNano).UTC()
	case m.Time != 0:
		return time.Unix(m.Time, 0).UTC()
	}
	return time.Time{}
}

// Split splits the action, as "health_status: healthy", into what happened and how.
func (m *Message) Split() (action, detail string) {
	action, detail, _ = strings.Cut(m.Action, ":")
	return action, strings.TrimSpace(detail)
}

// ID recognises the event when it is repeated; "" = it cannot be.
func (m *Message) ID() string {
	if m.TimeNano == 0 {
		return ""
	}
	return strconv.FormatInt(m.TimeNano, 10) + " " + m.Type + " " + m.Action + " " + m.Actor.ID
}

// Size is roughly what the event takes in memory, in bytes.
func (m *Message) Size() int {
	n := 256 + len(m.Actor.ID)
	for k, v := range m.Actor.Attributes {
		n += len(k) + len(v) + 48
	}
	return n
}

// ExitCode returns the code among the attributes of an end's event, the first of those keys that is
// one, or nil. Podman's other events have one as well, which is always 0.
func ExitCode(attributes map[string]string, keys ...string) *int64 {
	for _, key := range keys {
		if code, err := strconv.ParseInt(attributes[key], 10, 64); err == nil && code >= 0 {
			return &code
		}
	}
	return nil
}

// Restarts reports whether a restart policy ("no", "always", "unless-stopped", "on-failure") starts
// a container again that has ended by itself with this code. An unknown code counts as a failure.
func Restarts(policy string, code *int64) bool {
	return policy == "always" || policy == "unless-stopped" || policy == "on-failure" &&
		(code == nil || *code != 0)
}

// ParseTime reads the daemons' time format, of which the zero is the year 1.
func ParseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

// PortRange reads "80/tcp", "80" or "8000-8005/udp". What is no port gives 0.
func PortRange(key string) (first, last int, protocol string) {
	numbers, protocol, _ := strings.Cut(key, "/")
	low, high, isRange := strings.Cut(numbers, "-")
	if !isRange {
		high = low
	}
	a, errA := strconv.ParseUint(low, 10, 16)
	b, errB := strconv.ParseUint(high, 10, 16)
	if errA != nil || errB != nil || b < a {
		return 0, 0, ""
	}
	return int(a), int(b), cmp.Or(protocol, "tcp")
}

// Ports returns a container's ports with those of the host they are published on, in order. A
// container that does not run has only what its image exposes.
func Ports[Key ~string, Binding any](published map[Key][]Binding, exposed map[Key]struct{},
	hostPort func(Binding) string) []workloadmeta.ContainerPort {
	var ports []workloadmeta.ContainerPort
	add := func(key Key, bindings []Binding) {
		first, last, protocol := PortRange(string(key))
		for port := first; port <= last && first > 0 && len(ports) < MaxPorts; port++ {
			p := workloadmeta.ContainerPort{Port: port, Protocol: protocol}
			before := len(ports)
			// One binding for each address family names the same port twice; SortPorts removes the
			// double.
			for _, binding := range bindings {
				if host, err := strconv.ParseUint(hostPort(binding), 10, 16); err == nil &&
					host > 0 {
					p.HostPort = uint16(host)
					ports = append(ports, p)
				}
			}
			if len(ports) == before {
				ports = append(ports, p)
			}
		}
	}
	// In order, so that of more than MaxPorts the same ones are kept each time.
	for _, key := range slices.Sorted(maps.Keys(published)) {
		add(key, published[key])
	}
	if len(ports) == 0 {
		for _, key := range slices.Sorted(maps.Keys(exposed)) {
			add(key, nil)
		}
	}
	return SortPorts(ports)
}
