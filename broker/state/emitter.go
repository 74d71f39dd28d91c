package state

import (
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// emitter writes the fields that it visits, in a layout.
type emitter struct {
	layout layout
	bytes  []byte
}

// layout is how fields become bytes.
type layout interface {
	count(to []byte, n number, v uint64) []byte
	blob(to []byte, n number, v []byte) []byte
	text(to []byte, n number, v string) []byte
	words(to []byte, n number, v string) []byte
	// open begins a group; close ends the one whose fields begin at start.
	open(to []byte, n number) []byte
	close(to []byte, n number, start int) []byte
}

func (e *emitter) text(n number, _ string, v *string) {
	if *v != "" {
		e.bytes = e.layout.text(e.bytes, n, *v)
	}
}

func (e *emitter) words(n number, _ string, v *string) {
	if *v != "" {
		e.bytes = e.layout.words(e.bytes, n, *v)
	}
}

func (e *emitter) blob(n number, _ string, v *[]byte) {
	if len(*v) > 0 {
		e.bytes = e.layout.blob(e.bytes, n, *v)
	}
}

func (e *emitter) secret(n number, name string, v *[]byte) { e.blob(n, name, v) }

func (e *emitter) count(n number, _ string, v *uint64) {
	if *v != 0 {
		e.bytes = e.layout.count(e.bytes, n, *v)
	}
}

func (e *emitter) flag(n number, _ string, v *bool) {
	if *v {
		e.bytes = e.layout.count(e.bytes, n, 1)
	}
}

func (e *emitter) span(n number, _ string, v *time.Duration) {
	if *v != 0 {
		e.bytes = e.layout.count(e.bytes, n, protowire.EncodeZigZag(int64(*v)))
	}
}

func (e *emitter) moment(n number, name string, v *time.Time) {
	if v.IsZero() {
		return
	}
	seconds, nanos := protowire.EncodeZigZag(v.Unix()), uint64(v.Nanosecond())
	e.group(n, name, func() {
		e.count(1, name, &seconds)
		e.count(2, name, &nanos)
	})
}

func (e *emitter) optional(n number, _ string, v **uint64) {
	if *v != nil {
		e.bytes = e.layout.count(e.bytes, n, **v)
	}
}

func (e *emitter) group(n number, _ string, fields func()) {
	e.bytes = e.layout.open(e.bytes, n)
	start := len(e.bytes)
	fields()
	e.bytes = e.layout.close(e.bytes, n, start)
}

func (e *emitter) repeat(n number, name string, count, _ int, each func(int), _ func(int) string) {
	for i := range count {
		e.group(n, name, func() { each(i) })
	}
}

func (e *emitter) reading() bool                 { return false }
func (e *emitter) fail(string, error)            {}
func (e *emitter) derived(string, func() string) {}

// wire is the layout of the log and of snapshots: protobuf's encoding.
type wire struct{}

func (wire) count(to []byte, n number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, n, protowire.VarintType), v)
}

func (wire) blob(to []byte, n number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, n, protowire.BytesType), v)
}

func (wire) text(to []byte, n number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, n, protowire.BytesType), v)
}

func (w wire) words(to []byte, n number, v string) []byte { return w.text(to, n, v) }

func (wire) open(to []byte, n number) []byte { return protowire.AppendTag(to, n, protowire.BytesType) }

// close puts the length, now known, before the group's fields.
func (wire) close(to []byte, _ number, start int) []byte {
	return slices.Insert(to, start, protowire.AppendVarint(nil, uint64(len(to)-start))...)
}

// plain is the layout that is hashed. Digests do not depend on protobuf: each
// field is its number, its kind and its value, each of known length, so that
// different values never give the same bytes.
type plain struct{}

func (plain) head(to []byte, n number, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(n)), kind)
}

func (l plain) count(to []byte, n number, v uint64) []byte {
	return binary.BigEndian.AppendUint64(l.head(to, n, 'n'), v)
}

func (l plain) blob(to []byte, n number, v []byte) []byte {
	return append(binary.BigEndian.AppendUint64(l.head(to, n, 'b'), uint64(len(v))), v...)
}

func (l plain) text(to []byte, n number, v string) []byte {
	return append(binary.BigEndian.AppendUint64(l.head(to, n, 'b'), uint64(len(v))), v...)
}

func (plain) words(to []byte, _ number, _ string) []byte { return to }

func (l plain) open(to []byte, n number) []byte         { return l.head(to, n, '(') }
func (l plain) close(to []byte, n number, _ int) []byte { return l.head(to, n, ')') }
