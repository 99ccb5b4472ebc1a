package kubeapi

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// What is asked for: protocol buffers where the server has them, which for custom resources it has
// of metadata only.
const (
	protobufType = "application/vnd.kubernetes.protobuf"
	jsonType     = "application/json"
	metadataOnly = ";g=meta.k8s.io;v=v1;as=PartialObjectMetadata"

	acceptObjects      = protobufType + "," + jsonType
	acceptMetadata     = protobufType + metadataOnly + "," + jsonType + metadataOnly
	acceptMetadataList = protobufType + metadataOnly + "List," + jsonType + metadataOnly + "List"
)

// maxObject bounds one object. The API server refuses those of more than 3 MB.
const maxObject = 16 << 20

var (
	errTooLarge  = errors.New("an object is larger than 16 MiB")
	errNotAList  = errors.New("the answer is no list")
	errNotFramed = errors.New("the answer is no protocol buffer of Kubernetes")
)

// magic is before every object in protocol buffers.
const magic = "k8s\x00"

// isProtobuf reports whether the answer with this Content-Type is in protocol buffers, else it is
// in JSON.
func isProtobuf(contentType string) bool { return strings.HasPrefix(contentType, protobufType) }

// unwrap returns the object in a message of Kubernetes': magic, and a runtime.Unknown around it.
func unwrap(data []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return nil, errNotFramed
	}
	return bytesField(rest, 2)
}

// bytesField returns the field of a message with a number, nil if it has none.
func bytesField(data []byte, want protowire.Number) (found []byte, err error) {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, errNotFramed
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, wire, data); n < 0 {
			return nil, errNotFramed
		}
		if number == want && wire == protowire.BytesType {
			found, _ = protowire.ConsumeBytes(data)
		}
		data = data[n:]
	}
	return found, nil
}

// decodeStatus reads an answer that says why there is no other.
func decodeStatus(contentType string, data []byte) (*object.Status, error) {
	decoder := object.NewDecoder[object.Status](object.Shape{})
	if !isProtobuf(contentType) {
		return decoder.JSON(data)
	}
	inner, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	return decoder.Protobuf(inner)
}

// readList calls do with each object of a list as it arrives. The bytes are valid until do returns.
func readList(contentType string, body io.Reader, do func([]byte) error) (object.ListMeta, error) {
	if isProtobuf(contentType) {
		return readProtobufList(bufio.NewReaderSize(body, 64<<10), do)
	}
	return readJSONList(body, do)
}

func readProtobufList(r *bufio.Reader, do func([]byte) error) (meta object.ListMeta, err error) {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		return meta, errors.Join(errNotFramed, err)
	}
	buffer := []byte{}
	found := false
	err = eachField(r, nil, func(number protowire.Number, size uint64) (bool, error) {
		if number != 2 {
			return false, nil
		}
		found = true
		return true, eachField(r, &size, func(number protowire.Number, size uint64) (bool, error) {
			if number > 2 {
				return false, nil
			}
			if size > maxObject {
				return true, errTooLarge
			}
			if uint64(cap(buffer)) < size {
				buffer = make([]byte, size)
			}
			buffer = buffer[:size]
			if _, err := io.ReadFull(r, buffer); err != nil {
				return true, err
			}
			if number == 2 {
				return true, do(buffer)
			}
			decoded, err := object.NewDecoder[object.ListMeta](object.Shape{}).Protobuf(buffer)
			if err == nil {
				meta = *decoded
			}
			return true, err
		})
	})
	if err == nil && !found {
		err = errNotAList
	}
	return meta, err
}

// eachField reads a message of a length, nil for all there is. do says whether it has read the
// bytes of a field with this size; else they are skipped.
func eachField(r *bufio.Reader, length *uint64,
	do func(number protowire.Number, size uint64) (bool, error)) error {
	left := uint64(1) << 62
	if length != nil {
		left = *length
	}
	take := func() (uint64, error) {
		v, n, err := readVarint(r)
		if err == nil && n > left {
			err = errNotFramed
		}
		left -= min(n, left)
		return v, err
	}
	for left > 0 {
		if _, err := r.Peek(1); length == nil && errors.Is(err, io.EOF) {
			return nil
		}
		tag, err := take()
		if err != nil {
			return err
		}
		number, wire := protowire.DecodeTag(tag)
		size := uint64(0)
		switch wire {
		case protowire.VarintType:
			if _, err = take(); err != nil {
				return err
			}
			continue
		case protowire.BytesType:
			size, err = take()
		default:
			err = errNotFramed
		}
		if err == nil && size > left {
			err = errNotFramed
		}
		if err != nil {
			return err
		}
		left -= size
		read, err := do(number, size)
		if err == nil && !read {
			_, err = io.CopyN(io.Discard, r, int64(size))
		}
		if err != nil {
			return cutOff(err)
		}
	}
	return nil
}

// readVarint returns a number, and of how many bytes it was.
func readVarint(r *bufio.Reader) (v, n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, n, cutOff(err)
		}
		n++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, n, nil
		}
	}
	return 0, n, errNotFramed
}

// cutOff makes of the end of a body, where there should be more, what it is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readJSONList(body io.Reader, do func([]byte) error) (meta object.ListMeta, err error) {
	dec := json.NewDecoder(body)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return meta, errors.Join(errNotAList, err)
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return meta, fmt.Errorf("read the list: %w", err)
		}
		switch key {
		case "metadata":
			err = dec.Decode(&meta)
		case "items":
			found = true
			err = readItems(dec, do)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return meta, fmt.Errorf("read the list: %w", err)
		}
	}
	if _, err := dec.Token(); err != nil { // the end, or the answer has been cut off
		return meta, fmt.Errorf("read the list: %w", err)
	}
	if !found {
		return meta, errNotAList
	}
	return meta, nil
}

func readItems(dec *json.Decoder, do func([]byte) error) error {
	t, err := dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errNotAList
	}
	var raw json.RawMessage
	for dec.More() {
		raw = raw[:0]
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		if err := do(raw); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// event is one of a watch. Its bytes are valid until the next one is read.
type event struct {
	kind string // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	data []byte // the object, without any frame
}

// events reads the events of a watch.
type events interface{ next() (event, error) }

func newEvents(contentType string, body io.Reader) events {
	if isProtobuf(contentType) {
		// Small, because there may be a watch for each node of a cluster; large objects are not
		// read through it.
		return &protobufEvents{r: bufio.NewReaderSize(body, 4<<10)}
	}
	return &jsonEvents{json.NewDecoder(body)}
}

// protobufEvents are a length of four bytes each, and a meta/v1 WatchEvent.
type protobufEvents struct {
	r      *bufio.Reader
	buffer []byte
}

func (p *protobufEvents) next() (event, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return event{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxObject {
		return event{}, errTooLarge
	}
	if uint32(cap(p.buffer)) < size {
		p.buffer = make([]byte, size)
	}
	p.buffer = p.buffer[:size]
	if _, err := io.ReadFull(p.r, p.buffer); err != nil {
		return event{}, cutOff(err)
	}
	kind, err := bytesField(p.buffer, 1)
	if err != nil {
		return event{}, err
	}
	data, err := bytesField(p.buffer, 2)
	if err == nil {
		data, err = bytesField(data, 1)
	}
	if err == nil {
		data, err = unwrap(data)
	}
	return event{string(kind), data}, err
}

// jsonEvents are objects with a type and an object.
type jsonEvents struct{ dec *json.Decoder }

func (j *jsonEvents) next() (event, error) {
	var e struct {
		Type   string
		Object json.RawMessage
	}
	err := j.dec.Decode(&e)
	return event{e.Type, e.Object}, err
}
