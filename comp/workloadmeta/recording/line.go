package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Line is one line of a recording.
type Line struct {
	Time  time.Time // when it became true; zero: not known
	Event workloadmeta.CollectorEvent
}

// LineError says which line of which file cannot be read, and why. Reading may go on
// with the next line.
type LineError struct {
	File  string // as given to [NewReader]
	Line  int    // from 1
	Field string // of the line, such as "time" or "entity"; "": the line as a whole
	Err   error
}

// Error returns "file:line: field "x": reason".
func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: field %q: %v", e.File, e.Line, e.Field, e.Err)
}

// Unwrap returns the reason.
func (e *LineError) Unwrap() error { return e.Err }

// encode appends the line and a line break to buf. The order of the fields is that of the
// format.
func (l Line) encode(buf *bytes.Buffer) error {
	if err := l.Event.Validate(); err != nil {
		return err
	}
	if source := string(l.Event.Source); !utf8.ValidString(source) {
		return fmt.Errorf("encode %s: source %q is not UTF-8", l.Event.Entity.GetID(), source)
	}
	if r := l.Event.Reporter; r != nil && !utf8.ValidString(r.Name) {
		return fmt.Errorf("encode %s: reporter %q is not UTF-8", l.Event.Entity.GetID(), r.Name)
	}
	head := struct {
		Time   time.Time              `json:"time,omitzero"`
		Type   workloadmeta.EventType `json:"type"`
		Source workloadmeta.Source    `json:"source"`
		// Reporter and Rank are of a collector ([workloadmeta.Reporter]); without them it is
		// code that is none.
		Reporter string `json:"reporter,omitempty"`
		Rank     int    `json:"rank,omitempty"`
	}{Time: l.Time, Type: l.Event.Type, Source: l.Event.Source}
	if r := l.Event.Reporter; r != nil && *r != *workloadmeta.NewReporter(r.Source) {
		head.Reporter, head.Rank = r.Name, r.Rank
	}
	if !l.Time.IsZero() {
		head.Time = l.Time.UTC()
	}
	data, err := marshal(head)
	if err != nil {
		return fmt.Errorf("encode %s: %w", l.Event.Entity.GetID(), err)
	}
	buf.Write(bytes.TrimSuffix(data, []byte("}\n")))
	buf.WriteString(`,"entity":`)
	buf.Write(workloadmeta.AppendEntity(buf.AvailableBuffer(), l.Event.Entity))
	buf.WriteString("}\n")
	return nil
}

// marshal returns JSON with a line break, without the escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read this
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// fieldError is a LineError without a place.
type fieldError struct {
	field string
	err   error
}

// decode reads one line. unknown names the fields that were skipped, as "entity.x" if
// they are the entity's.
func decode(fields map[string]json.RawMessage) (l Line, unknown []string, bad *fieldError) {
	var err error
	text := func(name string) (string, *fieldError) {
		raw, ok := fields[name]
		if !ok {
			return "", nil
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", &fieldError{name, fmt.Errorf("want a string, have %s", excerpt(raw))}
		}
		return s, nil
	}

	at, bad := text("time")
	if bad != nil {
		return Line{}, nil, bad
	}
	if at != "" {
		if l.Time, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return Line{}, nil, &fieldError{"time",
				fmt.Errorf("want a time in RFC 3339, have %q", at)}
		}
	}
	name := "type"
	_, hasType := fields["type"]
	_, hasOp := fields["op"]
	switch {
	case hasType && hasOp:
		return Line{}, nil, &fieldError{"op",
			errors.New(`there is "type", too, which means the same; want one of them`)}
	case hasOp:
		name = "op"
	case !hasType:
		return Line{}, nil, &fieldError{"type", errors.New("missing")}
	}
	typ, bad := text(name)
	if bad != nil {
		return Line{}, nil, bad
	}
	if l.Event.Type, err = workloadmeta.ParseEventType(typ); err != nil {
		return Line{}, nil, &fieldError{name, err}
	}
	source, bad := text("source")
	if bad != nil {
		return Line{}, nil, bad
	}
	if source == "" {
		return Line{}, nil, &fieldError{"source", errors.New("missing")}
	}
	l.Event.Source = workloadmeta.Source(source)
	reporter, bad := text("reporter")
	if bad != nil {
		return Line{}, nil, bad
	}
	if reporter != "" {
		by := &workloadmeta.Reporter{Name: reporter, Source: l.Event.Source}
		if raw, ok := fields["rank"]; ok {
			if err := json.Unmarshal(raw, &by.Rank); err != nil {
				return Line{}, nil, &fieldError{"rank",
					fmt.Errorf("want a whole number, have %s", excerpt(raw))}
			}
		}
		l.Event.Reporter = by
	}
	raw, ok := fields["entity"]
	if !ok {
		return Line{}, nil, &fieldError{"entity", errors.New("missing")}
	}
	var skipped []string
	if l.Event.Entity, skipped, err = workloadmeta.UnmarshalEntity(raw); err != nil {
		return Line{}, nil, &fieldError{"entity", err}
	}
	if err := l.Event.Validate(); err != nil {
		return Line{}, nil, &fieldError{"entity", err}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "time", "type", "op", "source", "reporter", "rank", "entity":
		default:
			unknown = append(unknown, name)
		}
	}
	for _, name := range skipped {
		unknown = append(unknown, "entity."+name)
	}
	return l, unknown, nil
}

// object decodes a JSON object, with errors for people.
func object(data []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(data, &fields)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// The decoder of streams, unlike Unmarshal, tells an early end apart.
		var any json.RawMessage
		if errors.Is(json.NewDecoder(bytes.NewReader(data)).Decode(&any), io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("cut off: %w", io.ErrUnexpectedEOF)
		}
		return nil, fmt.Errorf("no JSON at byte %d: %w", syntax.Offset, err)
	}
	if err != nil || fields == nil {
		return nil, fmt.Errorf("want a JSON object, have %s", excerpt(data))
	}
	return fields, nil
}

// excerpt returns the beginning of what was found where something else was wanted.
func excerpt(data []byte) string {
	const most = 40
	if len(data) > most {
		return string(bytes.ToValidUTF8(data[:most], nil)) + "…"
	}
	return string(data)
}
