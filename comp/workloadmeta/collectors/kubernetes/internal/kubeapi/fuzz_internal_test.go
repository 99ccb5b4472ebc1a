package kubeapi

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// FuzzList: whatever a server answers, a list is read to its end or refused, and what is read of it
// does not depend on where it is cut into pieces.
func FuzzList(f *testing.F) {
	f.Add([]byte(magic+"\x0a\x00\x12\x0d\x0a\x03\x12\x011\x12\x06\x0a\x04\x0a\x02ab"), true)
	f.Add([]byte(`{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}},{}]}`),
		false)
	f.Add([]byte(`{"items":null}`), false)
	f.Add([]byte(magic+"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), true)
	decoder := object.NewDecoder[object.Metadata](object.Shape{})
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		contentType, decode := jsonType, decoder.JSON
		if binary {
			contentType, decode = protobufType, decoder.Protobuf
		}
		read := func(data []byte) (string, error) {
			var all strings.Builder
			meta, err := readList(contentType, bytes.NewReader(data), func(o []byte) error {
				if m, err := decode(o); err == nil {
					all.WriteString(m.Name + "\n")
				}
				return nil
			})
			return all.String() + meta.ResourceVersion + meta.Continue, err
		}
		got, err := read(data)
		again, errAgain := read(data)
		if got != again || (err == nil) != (errAgain == nil) {
			t.Errorf("%q, %v; and again %q, %v", got, err, again, errAgain)
		}
	})
}

// FuzzEvents: whatever a server answers, a watch ends.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x09\x0a\x05ADDED\x12\x00"), true)
	f.Add([]byte("\xff\xff\xff\xff"), true)
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"a"}}}{"type":"ERROR"}`), false)
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		contentType := jsonType
		if binary {
			contentType = protobufType
		}
		from := newEvents(contentType, bytes.NewReader(data))
		for n := 0; ; n++ {
			e, err := from.next()
			if err != nil {
				return
			}
			decodeErrorEvent(contentType, e.data) //nolint:errcheck // it must not panic
			decodeMark(contentType, e.data)       //nolint:errcheck // it must not panic
			if n > len(data) {
				t.Fatal("more events than bytes")
			}
		}
	})
}

// FuzzRefusal: whatever a server or a proxy before it says, it is a status.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte(`{"code":403,"message":"no","details":{"retryAfterSeconds":1}}`), false)
	f.Add([]byte(magic+"\x12\x04\x1a\x02no"), true)
	f.Add([]byte("<html>"), false)
	f.Fuzz(func(_ *testing.T, data []byte, binary bool) {
		contentType := "text/html"
		if binary {
			contentType = protobufType
		}
		decodeStatus(contentType, data) //nolint:errcheck // it must not panic
	})
}
