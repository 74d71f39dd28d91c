package state

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// reader fills in the fields that it visits from the wire layout. It takes
// only what emitter writes, byte for byte: fields in the order of their
// numbers, none twice, none that is zero, the shortest numbers. What it read
// therefore gives the same bytes again. The first error ends the reading.
type reader struct {
	rest []byte // of the group that is being read
	at   int    // where rest begins in the whole, for errors
	last number // the highest number visited in this group
	err  error
}

// end reports what is left over after all fields were visited: a field that
// this version does not know, or damage.
func (r *reader) end() error {
	if r.err != nil || len(r.rest) == 0 {
		return r.err
	}
	n, _, size := protowire.ConsumeTag(r.rest)
	if size > 0 && n > r.last {
		r.err = fmt.Errorf("field %d at byte %d is unknown: %w", n, r.at, ErrUnknownCommand)
	} else {
		r.damaged(r.last, "", "it is followed by %d bytes that do not belong there", len(r.rest))
	}
	return r.err
}

func (r *reader) damaged(n number, name, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("field %d %s at byte %d: %s: %w", n, name, r.at, fmt.Sprintf(format, args...), ErrCorrupt)
	}
}

// next reports whether the field n comes next, and takes its tag.
func (r *reader) next(n number, name string, want protowire.Type) bool {
	if r.err != nil {
		return false
	}
	r.last = n
	found, kind, size := protowire.ConsumeTag(r.rest)
	if size < 0 || found != n {
		return false // end says what it is, if no other field takes it
	}
	if kind != want || size != protowire.SizeTag(n) {
		r.damaged(n, name, "it has wire type %d, not %d", kind, want)
		return false
	}
	r.advance(size)
	return true
}

func (r *reader) advance(size int) { r.rest, r.at = r.rest[size:], r.at+size }

// varint takes a number, written as short as possible.
func (r *reader) varint(n number, name string) uint64 {
	v, size := protowire.ConsumeVarint(r.rest)
	if size < 0 || size != protowire.SizeVarint(v) {
		r.damaged(n, name, "it is no number")
		return 0
	}
	r.advance(size)
	return v
}

// body takes length-delimited bytes, which still belong to the whole.
func (r *reader) body(n number, name string) []byte {
	size := r.varint(n, name)
	if r.err == nil && size > uint64(len(r.rest)) {
		r.damaged(n, name, "it ends after the end")
	}
	if r.err != nil {
		return nil
	}
	body := r.rest[:size]
	r.advance(int(size))
	return body
}

func (r *reader) text(n number, name string, v *string) {
	if !r.next(n, name, protowire.BytesType) {
		return
	}
	body := r.body(n, name)
	if r.err == nil && (len(body) == 0 || !utf8.Valid(body)) {
		r.damaged(n, name, "it is empty or not UTF-8")
	}
	*v = string(body)
}

func (r *reader) words(n number, name string, v *string) { r.text(n, name, v) }

func (r *reader) blob(n number, name string, v *[]byte) {
	if !r.next(n, name, protowire.BytesType) {
		return
	}
	body := r.body(n, name)
	if r.err == nil && len(body) == 0 {
		r.damaged(n, name, "it is empty")
	}
	*v = bytes.Clone(body)
}

func (r *reader) secret(n number, name string, v *[]byte) { r.blob(n, name, v) }

func (r *reader) count(n number, name string, v *uint64) {
	if !r.next(n, name, protowire.VarintType) {
		return
	}
	if *v = r.varint(n, name); *v == 0 {
		r.damaged(n, name, "it is zero")
	}
}

func (r *reader) flag(n number, name string, v *bool) {
	var value uint64
	if r.count(n, name, &value); value > 1 {
		r.damaged(n, name, "it is %d, neither true nor false", value)
	}
	*v = value == 1
}

func (r *reader) span(n number, name string, v *time.Duration) {
	var value uint64
	r.count(n, name, &value)
	*v = time.Duration(protowire.DecodeZigZag(value))
}

// The moments that can be written: from year 1 to year 9999.
var (
	firstMoment = time.Time{}.Unix()
	lastMoment  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
)

func (r *reader) moment(n number, name string, v *time.Time) {
	var seconds, nanos uint64
	present := false
	r.groupIf(n, name, func() {
		present = true
		r.count(1, name, &seconds)
		r.count(2, name, &nanos)
	})
	if r.err != nil || !present {
		return
	}
	at := protowire.DecodeZigZag(seconds)
	if at < firstMoment || at > lastMoment || nanos >= uint64(time.Second) || at == firstMoment && nanos == 0 {
		r.damaged(n, name, "it is no time: %d s, %d ns", at, nanos)
		return
	}
	*v = time.Unix(at, int64(nanos)).UTC()
}

func (r *reader) optional(n number, name string, v **uint64) {
	if r.next(n, name, protowire.VarintType) {
		value := r.varint(n, name)
		*v = &value
	}
}

func (r *reader) group(n number, name string, fields func()) {
	if !r.groupIf(n, name, fields) && r.err == nil {
		r.damaged(n, name, "it is missing")
	}
}

// groupIf reads a group if it is there.
func (r *reader) groupIf(n number, name string, fields func()) bool {
	if !r.next(n, name, protowire.BytesType) {
		return false
	}
	body := r.body(n, name)
	if r.err != nil {
		return false
	}
	outer := *r
	r.rest, r.at, r.last = body, outer.at-len(body), 0
	fields()
	err := r.end()
	*r = outer
	r.err = err
	return true
}

func (r *reader) repeat(n number, name string, _, limit int, each func(int), _ func(int) string) {
	for i := 0; ; i++ {
		if !r.groupIf(n, name, func() {
			if i == limit {
				r.err = fmt.Errorf("field %d %s at byte %d has more than %d elements: %w", n, name, r.at, limit, ErrUnknownCommand)
				return
			}
			each(i)
		}) || r.err != nil {
			return
		}
	}
}

func (r *reader) reading() bool { return true }

func (r *reader) fail(name string, err error) {
	if r.err == nil {
		r.err = errors.Join(fmt.Errorf("field %s before byte %d: %w", name, r.at, ErrCorrupt), err)
	}
}

func (r *reader) derived(string, func() string) {}
