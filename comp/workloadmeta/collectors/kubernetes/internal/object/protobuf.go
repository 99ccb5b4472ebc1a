package object

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decoder decodes objects of one type. It may be used by several goroutines, unless it has a pool.
type Decoder[T any] struct {
	message *message
	shape   Shape
}

// Shape says what of an object is read, beside what its type leaves out. The zero value reads it
// all.
type Shape struct {
	// Omit are fields that are skipped in protocol buffers, as Go has them: "Spec.Containers".
	Omit []string
	// Annotation reports whether an annotation is kept. nil: all are.
	Annotation func(name string) bool
	// Pool, if set, shares the strings of protocol buffers that many objects have: all of maps, and
	// those of fields that are marked as shared.
	Pool *Pool
}

// NewDecoder returns a decoder of a type of this package. A field to omit that there is not is a
// panic.
func NewDecoder[T any](shape Shape) *Decoder[T] {
	c := compiler{pool: shape.Pool, keep: shape.Annotation, omit: map[string]bool{}}
	for _, path := range shape.Omit {
		c.omit[path] = true
	}
	d := &Decoder[T]{c.messageOf(reflect.TypeFor[T](), ""), shape}
	if len(c.omit) > 0 {
		panic(fmt.Sprintf("object: %s has no %v", reflect.TypeFor[T](), c.omit))
	}
	return d
}

// Protobuf decodes the object from protocol buffers. The object keeps nothing of data.
func (d *Decoder[T]) Protobuf(data []byte) (*T, error) {
	out := new(T)
	if err := d.message.decode(data, reflect.ValueOf(out).Elem()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", reflect.TypeFor[T]().Name(), err)
	}
	return out, nil
}

// JSON decodes the object from JSON.
func (d *Decoder[T]) JSON(data []byte) (*T, error) {
	out := new(T)
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("decode %s: %w", reflect.TypeFor[T]().Name(), err)
	}
	if o, ok := any(out).(interface{ Metadata() *Meta }); ok && d.shape.Annotation != nil {
		maps.DeleteFunc(o.Metadata().Annotations,
			func(name, _ string) bool { return !d.shape.Annotation(name) })
	}
	return out, nil
}

// message says how the fields of a struct are encoded. It has one entry per number; most numbers
// below the greatest one are used.
type message struct{ fields []*field }

type field struct {
	name  string
	index int // of the field in its struct
	// decode reads the field's value, which is encoded as wire says.
	decode func(value []byte, number uint64, to reflect.Value) error
	wire   protowire.Type
}

// compiler makes messages of types.
type compiler struct {
	pool *Pool
	keep func(annotation string) bool
	omit map[string]bool // paths that have not been met
}

// messageOf reads the tags of a struct that is found at a path. The types of this package are not
// recursive.
func (c *compiler) messageOf(t reflect.Type, path string) *message {
	m := &message{}
	for i := range t.NumField() {
		f := t.Field(i)
		at := strings.TrimPrefix(path+"."+f.Name, ".")
		tag, shared := strings.CutSuffix(f.Tag.Get("pb"), ",shared")
		number, err := strconv.Atoi(tag)
		if err != nil || number <= 0 {
			panic(fmt.Sprintf("object: field %s of %s has no number", f.Name, t))
		}
		for len(m.fields) <= number {
			m.fields = append(m.fields, nil)
		}
		if c.omit[at] {
			delete(c.omit, at)
			continue
		}
		decode, wire := c.decoderOf(f.Type, at, shared)
		m.fields[number] = &field{f.Name, i, decode, wire}
	}
	return m
}

// decoderOf returns how a value of a type is decoded, and what it is encoded as.
func (c *compiler) decoderOf(t reflect.Type, path string,
	shared bool) (func([]byte, uint64, reflect.Value) error, protowire.Type) {
	if t == reflect.TypeFor[Time]() {
		return decodeTime, protowire.BytesType
	}
	switch t.Kind() {
	case reflect.String:
		pool := c.pool
		if !shared {
			pool = nil
		}
		return func(value []byte, _ uint64, to reflect.Value) error {
			to.SetString(pool.String(value))
			return nil
		}, protowire.BytesType
	case reflect.Bool:
		return func(_ []byte, n uint64, to reflect.Value) error {
			to.SetBool(n != 0)
			return nil
		}, protowire.VarintType
	case reflect.Int32, reflect.Int64:
		return func(_ []byte, n uint64, to reflect.Value) error {
			to.SetInt(int64(n))
			return nil
		}, protowire.VarintType
	case reflect.Struct:
		m := c.messageOf(t, path)
		return func(value []byte, _ uint64, to reflect.Value) error {
			return m.decode(value, to)
		}, protowire.BytesType
	case reflect.Pointer:
		decode, wire := c.decoderOf(t.Elem(), path, shared)
		return func(value []byte, n uint64, to reflect.Value) error {
			if to.IsNil() {
				to.Set(reflect.New(t.Elem()))
			}
			return decode(value, n, to.Elem())
		}, wire
	case reflect.Slice:
		decode, wire := c.decoderOf(t.Elem(), path, shared)
		return func(value []byte, n uint64, to reflect.Value) error {
			to.Grow(1)
			to.SetLen(to.Len() + 1)
			return decode(value, n, to.Index(to.Len()-1))
		}, wire
	case reflect.Map:
		return c.mapDecoder(t, path), protowire.BytesType
	}
	panic(fmt.Sprintf("object: no encoding of %s", t))
}

// decodeTime reads a time, a message of seconds since 1970 and nanoseconds.
func decodeTime(value []byte, _ uint64, to reflect.Value) error {
	var seconds, nanos int64
	err := eachField(value, func(number protowire.Number, _ protowire.Type, _ []byte,
		n uint64) error {
		switch number {
		case 1:
			seconds = int64(n)
		case 2:
			nanos = int64(n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	to.Addr().Interface().(*Time).set(time.Unix(seconds, nanos))
	return nil
}

// mapDecoder returns how an entry of a map from strings is decoded: a message of a key and a value.
// A quantity is a message of its own, of one string.
func (c *compiler) mapDecoder(t reflect.Type,
	path string) func([]byte, uint64, reflect.Value) error {
	keep := func(string) bool { return true }
	if c.keep != nil && strings.HasSuffix(path, "Meta.Annotations") {
		keep = c.keep
	}
	valueType := t.Elem()
	isQuantity := valueType == reflect.TypeFor[Quantity]()
	if isQuantity {
		valueType = reflect.TypeFor[quantity]()
	}
	decode, _ := c.decoderOf(valueType, path, true)
	return func(entry []byte, _ uint64, to reflect.Value) error {
		var key string
		value := reflect.New(valueType).Elem()
		err := eachField(entry, func(number protowire.Number, wire protowire.Type, v []byte,
			_ uint64) error {
			switch {
			case wire != protowire.BytesType:
			case number == 1:
				key = c.pool.String(v)
			case number == 2 && keep(key): // the key comes first, as every encoder has it
				return decode(v, 0, value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if !keep(key) {
			return nil
		}
		if to.IsNil() {
			to.Set(reflect.MakeMap(t))
		}
		if isQuantity {
			value = value.Field(0)
		}
		to.SetMapIndex(reflect.ValueOf(key), value)
		return nil
	}
}

func (m *message) decode(data []byte, to reflect.Value) error {
	return eachField(data, func(number protowire.Number, wire protowire.Type, value []byte,
		n uint64) error {
		if int(number) >= len(m.fields) || m.fields[number] == nil {
			return nil
		}
		f := m.fields[number]
		if wire != f.wire {
			return fmt.Errorf("%s: wire type %d, want %d", f.name, wire, f.wire)
		}
		if err := f.decode(value, n, to.Field(f.index)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		return nil
	})
}

// errTruncated reports that a message ends in the middle of a field.
var errTruncated = errors.New("the message is cut off or no protocol buffer")

// eachField calls do for each field of a message, with its bytes or its number.
func eachField(data []byte,
	do func(number protowire.Number, wire protowire.Type, value []byte, n uint64) error) error {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errTruncated
		}
		data = data[n:]
		var value []byte
		var v uint64
		switch wire {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(number, wire, data)
		}
		if n < 0 {
			return errTruncated
		}
		data = data[n:]
		if err := do(number, wire, value, v); err != nil {
			return err
		}
	}
	return nil
}
