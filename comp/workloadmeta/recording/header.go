package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// FormatVersion is the version of the format that is written. A reader refuses a newer one.
const FormatVersion = 1

// Header is what is known about a recording as a whole. A recording need not have one.
type Header struct {
	// MadeBy is what wrote the recording, such as "rollcall 1.4.0".
	MadeBy string
	Time   time.Time // when it began; zero: not known
	// Config is the configuration the recording was made under, as far as tags depend on
	// it: the rules in effect and the options that make tags, each under its name and as it
	// stands in a configuration file, in JSON. Whoever plays the recording with it gives
	// the same tags. nil: not known.
	Config map[string]json.RawMessage
}

// wireHeader is a header line as it is written.
type wireHeader struct {
	Recording *wireHeaderFields `json:"recording"`
}

type wireHeaderFields struct {
	Version int                        `json:"version"`
	MadeBy  string                     `json:"made_by,omitempty"`
	Time    time.Time                  `json:"time,omitzero"`
	Config  map[string]json.RawMessage `json:"config,omitempty"`
}

func (h Header) encode() ([]byte, error) {
	data, err := marshal(wireHeader{&wireHeaderFields{Version: FormatVersion, MadeBy: h.MadeBy,
		Time: h.Time.UTC(), Config: h.Config}})
	if err == nil && len(data) > MaxLine {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read", len(data),
			MaxLine)
	}
	return data, err
}

// decodeHeader reads a header line; ok is false if the line is none.
func decodeHeader(fields map[string]json.RawMessage) (h Header, unknown []string, ok bool,
	bad *fieldError) {
	raw, ok := fields["recording"]
	if _, event := fields["type"]; !ok || event {
		return Header{}, nil, false, nil
	}
	inner, err := object(raw)
	if err != nil {
		return Header{}, nil, true, &fieldError{"recording", err}
	}
	var w wireHeaderFields
	for name, to := range map[string]any{"version": &w.Version, "made_by": &w.MadeBy,
		"time": &w.Time, "config": &w.Config} {
		if value, ok := inner[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return Header{}, nil, true, &fieldError{"recording." + name,
					fmt.Errorf("cannot be read: %s", excerpt(value))}
			}
		}
	}
	switch {
	case w.Version > FormatVersion:
		return Header{}, nil, true, &fieldError{"recording.version", fmt.Errorf(
			"it is %d, this program reads up to %d; a newer rollcall is needed", w.Version,
			FormatVersion)}
	case w.Version < 1:
		return Header{}, nil, true, &fieldError{"recording.version", errors.New("missing")}
	}
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		switch name {
		case "version", "made_by", "time", "config":
		default:
			unknown = append(unknown, "recording."+name)
		}
	}
	return Header{MadeBy: w.MadeBy, Time: w.Time, Config: w.Config}, unknown, true, nil
}
