package state

import (
	"fmt"
	"time"
	"unique"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/encoding/protowire"
)

// number is a field's number. It is in the log and never changes.
type number = protowire.Number

// visitor goes over the fields of a command or a record. One function a type
// shows it all fields in the order of their numbers, and serves every purpose:
// writing (emitter), reading (reader), hashing (emitter with another layout)
// and describing (summary). So no two of them can disagree about a field.
//
// A field that has its zero value is not there, in every form. A new field
// therefore changes neither the bytes nor the hash of what was before it. Names,
// numbers and how a value is described are hashed too, on nodes of several
// versions at once: what is here stays as it is.
//
// The name is the field's in errors and in the audit trail; a field without a
// name is not shown there.
type visitor interface {
	text(n number, name string, v *string)
	// words is a text for people. A newer version may say the same in other
	// words, so it is written down but never hashed.
	words(n number, name string, v *string)
	blob(n number, name string, v *[]byte)
	// secret is a blob of which nothing but its size is ever shown.
	secret(n number, name string, v *[]byte)
	count(n number, name string, v *uint64)
	flag(n number, name string, v *bool)
	span(n number, name string, v *time.Duration)
	moment(n number, name string, v *time.Time)
	// optional tells absence from zero.
	optional(n number, name string, v **uint64)
	// group is there even if all its fields are absent.
	group(n number, name string, fields func())
	// repeat calls each for every element: count of them, or, when reading, as
	// many as there are, at most limit.
	repeat(n number, name string, count, limit int, each func(i int), show func(i int) string)

	// reading reports whether the values are being filled in.
	reading() bool
	// fail ends the reading: the field just read means nothing.
	fail(name string, err error)
	// derived shows in the audit trail what other fields lead to.
	derived(name string, show func() string)
}

// list visits a slice whose elements are groups of fields.
func list[T any](v visitor, n number, name string, limit int, items *[]T, fields func(visitor, *T), show func(T) string) {
	v.repeat(n, name, len(*items), limit, func(i int) {
		if i == len(*items) { // only a reader comes here
			var next T
			*items = append(*items, next)
		}
		fields(v, &(*items)[i])
	}, func(i int) string { return show((*items)[i]) })
}

// shared visits a text that many records have in common, and keeps it once.
func shared(v visitor, n number, name string, text *string) {
	v.text(n, name, text)
	if v.reading() && *text != "" {
		*text = unique.Make(*text).Value()
	}
}

// small visits an enumeration. say is its word for the audit trail.
func small[T ~uint8](v visitor, n number, name string, value *T, say func(T) string) {
	wide := uint64(*value)
	v.count(n, "", &wide)
	v.derived(name, func() string { return say(*value) })
	if v.reading() {
		if *value = T(wide); uint64(*value) != wide {
			v.fail(name, fmt.Errorf("%d is out of range", wide))
		}
	}
}

// word visits a type made of a string.
func word[T ~string](v visitor, n number, name string, value *T) {
	text := string(*value)
	v.text(n, name, &text)
	if v.reading() { // a record that is written is shared with whoever reads it
		*value = T(text)
	}
}

// sha visits a SHA-256; all zero is absent.
func sha(v visitor, n number, name string, value *[32]byte) {
	var bytes []byte
	if *value != ([32]byte{}) {
		bytes = value[:]
	}
	v.blob(n, name, &bytes)
	if v.reading() && bytes != nil {
		if copy(value[:], bytes); len(bytes) != len(value) || *value == ([32]byte{}) {
			v.fail(name, fmt.Errorf("%d bytes are no hash", len(bytes)))
		}
	}
}

// identity visits a SPIFFE ID: its text by shared if many records have it, else
// by visitor.text.
func identity(v visitor, n number, name string, id *spiffeid.ID, text func(visitor, number, string, *string)) {
	written := id.String()
	text(v, n, name, &written)
	if !v.reading() || written == "" {
		return
	}
	var err error
	if *id, err = spiffeid.FromString(written); err != nil {
		v.fail(name, err)
	}
}

// domain visits a trust domain by its name.
func domain(v visitor, n number, name string, td *spiffeid.TrustDomain) {
	written := td.Name()
	shared(v, n, name, &written)
	if !v.reading() || written == "" {
		return
	}
	read, err := spiffeid.TrustDomainFromString(written)
	if err == nil && read.Name() != written {
		err = fmt.Errorf("%q is not a trust domain's name", written)
	}
	if err != nil {
		v.fail(name, err)
		return
	}
	*td = read
}
