package object

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decoder decodes objects of one type. It may be used by several goroutines.
type Decoder[T any] struct{ message *message }

// NewDecoder returns a decoder of a type of this package.
func NewDecoder[T any]() *Decoder[T] {
	return &Decoder[T]{messageOf(reflect.TypeFor[T]())}
}

// Protobuf decodes the object from protocol buffers. The object keeps nothing of data.
func (d *Decoder[T]) Protobuf(data []byte) (*T, error) {
	out := new(T)
	if err := d.message.decode(data, reflect.ValueOf(out).Elem()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", reflect.TypeFor[T]().Name(), err)
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

// messageOf reads the tags of a struct. The types of this package are not recursive.
func messageOf(t reflect.Type) *message {
	m := &message{}
	for i := range t.NumField() {
		f := t.Field(i)
		number, err := strconv.Atoi(f.Tag.Get("pb"))
		if err != nil || number <= 0 {
			panic(fmt.Sprintf("object: field %s of %s has no number", f.Name, t))
		}
		for len(m.fields) <= number {
			m.fields = append(m.fields, nil)
		}
		decode, wire := decoderOf(f.Type)
		m.fields[number] = &field{f.Name, i, decode, wire}
	}
	return m
}

// decoderOf returns how a value of a type is decoded, and what it is encoded as.
func decoderOf(t reflect.Type) (func([]byte, uint64, reflect.Value) error, protowire.Type) {
	switch {
	case t == reflect.TypeFor[Time]():
		return decodeTime, protowire.BytesType
	case t == reflect.TypeFor[Quantity]():
		return decodeString, protowire.BytesType
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString, protowire.BytesType
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
		m := messageOf(t)
		return func(value []byte, _ uint64, to reflect.Value) error {
			return m.decode(value, to)
		}, protowire.BytesType
	case reflect.Pointer:
		decode, wire := decoderOf(t.Elem())
		return func(value []byte, n uint64, to reflect.Value) error {
			if to.IsNil() {
				to.Set(reflect.New(t.Elem()))
			}
			return decode(value, n, to.Elem())
		}, wire
	case reflect.Slice:
		decode, wire := decoderOf(t.Elem())
		return func(value []byte, n uint64, to reflect.Value) error {
			to.Grow(1)
			to.SetLen(to.Len() + 1)
			return decode(value, n, to.Index(to.Len()-1))
		}, wire
	case reflect.Map:
		return mapDecoder(t), protowire.BytesType
	}
	panic(fmt.Sprintf("object: no encoding of %s", t))
}

func decodeString(value []byte, _ uint64, to reflect.Value) error {
	to.SetString(string(value))
	return nil
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
func mapDecoder(t reflect.Type) func([]byte, uint64, reflect.Value) error {
	valueType := t.Elem()
	if valueType == reflect.TypeFor[Quantity]() {
		valueType = reflect.TypeFor[quantity]()
	}
	decode, _ := decoderOf(valueType)
	return func(entry []byte, _ uint64, to reflect.Value) error {
		var key string
		value := reflect.New(valueType).Elem()
		err := eachField(entry, func(number protowire.Number, wire protowire.Type, v []byte,
			_ uint64) error {
			switch {
			case wire != protowire.BytesType:
			case number == 1:
				key = string(v)
			case number == 2:
				return decode(v, 0, value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if to.IsNil() {
			to.Set(reflect.MakeMap(t))
		}
		if value.Kind() == reflect.Struct {
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
