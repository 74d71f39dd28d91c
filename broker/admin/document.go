package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
)

// document reads one JSON document into a struct, more strictly than
// encoding/json does: a member that is unknown, in other letters, null, or there
// twice is refused, at every level, and with it a text that is not UTF-8. How
// deep a document goes is bounded by the struct. A json.RawMessage is taken as
// it is: whoever reads it is strict in their own way.
type document struct{ json *json.Decoder }

// readDocument reads text into the struct that into points to. required are
// members of it that must be there. The error is a refusal that says where.
func readDocument(text []byte, into any, required ...string) error {
	if !utf8.Valid(text) {
		return broker.Refuse(broker.InvalidArgument, "the body is not UTF-8")
	}
	d := document{json.NewDecoder(bytes.NewReader(text))}
	seen, err := d.object(reflect.ValueOf(into).Elem(), "")
	if err != nil {
		return err
	}
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return broker.Refuse(broker.InvalidArgument, "the body goes on after its document ends, at byte %d", d.json.InputOffset())
	}
	for _, name := range required {
		if !seen[name] {
			return broker.Refuse(broker.InvalidArgument, "%s is missing: every one of %s must be given", name, strings.Join(required, ", "))
		}
	}
	return nil
}

// value reads the next value into v. where is its name, for a person.
func (d document) value(v reflect.Value, where string) error {
	if _, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		return d.leaf(v, where)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem(), where)
	case reflect.Struct:
		_, err := d.object(v, where)
		return err
	case reflect.Slice:
		return d.array(v, where)
	}
	return d.leaf(v, where)
}

// object reads an object into a struct, and returns which members it has.
func (d document) object(v reflect.Value, where string) (seen map[string]bool, err error) {
	if err := d.open('{', "an object", where); err != nil {
		return nil, err
	}
	members := membersOf(v.Type())
	seen = map[string]bool{}
	for d.json.More() {
		token, err := d.json.Token()
		if err != nil {
			return nil, d.malformed(err)
		}
		name, _ := token.(string)
		path := strings.TrimPrefix(where+"."+name, ".")
		index, ok := members[name]
		switch {
		case !ok:
			return nil, broker.Refuse(broker.InvalidArgument, "there is no member %.80q%s%s", name, in(where), suggest(name, slices.Sorted(maps.Keys(members))))
		case seen[name]:
			return nil, broker.Refuse(broker.InvalidArgument, "%s is there twice, again at byte %d", path, d.json.InputOffset())
		}
		seen[name] = true
		if err := d.value(v.FieldByIndex(index), path); err != nil {
			return nil, err
		}
	}
	return seen, d.close()
}

// array reads an array into a slice.
func (d document) array(v reflect.Value, where string) error {
	if err := d.open('[', "an array", where); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; d.json.More(); i++ {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(element, fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
	return d.close()
}

// leaf reads a value that has no members of ours.
func (d document) leaf(v reflect.Value, where string) error {
	var text json.RawMessage
	if err := d.json.Decode(&text); err != nil {
		return d.malformed(err)
	}
	if string(text) == "null" {
		return null(where)
	}
	err := json.Unmarshal(text, v.Addr().Interface())
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return broker.Refuse(broker.InvalidArgument, "%s is %.60s, want %s", where, kind.Value, wanted(v))
	case err != nil && v.Type() == reflect.TypeFor[time.Time]():
		return broker.Refuse(broker.InvalidArgument, "%s is %.40s: write a time as RFC 3339 does, such as \"2026-01-31T12:00:00Z\"", where, text)
	case err != nil:
		return broker.Refuse(broker.InvalidArgument, "%s: %v", where, err)
	case v.Kind() == reflect.String && strings.ContainsRune(v.String(), utf8.RuneError):
		return broker.Refuse(broker.InvalidArgument, "%s has U+FFFD in it, or half of a pair of surrogates", where)
	}
	return nil
}

func (d document) open(with json.Delim, what, where string) error {
	token, err := d.json.Token()
	switch {
	case err != nil:
		return d.malformed(err)
	case token == with:
		return nil
	case where == "":
		where = "the body"
	case token == nil:
		return null(where)
	}
	return broker.Refuse(broker.InvalidArgument, "%s is not %s", where, what)
}

func null(where string) error {
	return broker.Refuse(broker.InvalidArgument, "%s is null: give a value, or leave it away", where)
}

func (d document) close() error {
	if _, err := d.json.Token(); err != nil {
		return d.malformed(err)
	}
	return nil
}

func (d document) malformed(err error) error {
	at := d.json.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return broker.Refuse(broker.InvalidArgument, "the body ends at byte %d, before its document does", at)
	}
	return broker.Refuse(broker.InvalidArgument, "the body is malformed at byte %d: %v", at, err)
}

// membersOf returns where in a struct each member of its document goes.
func membersOf(t reflect.Type) map[string][]int {
	members := map[string][]int{}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			members[name] = field.Index
		}
	}
	return members
}

func in(where string) string {
	if where == "" {
		return ""
	}
	return " in " + where
}

// wanted is what JSON calls a value of v's kind.
func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint64, reflect.Int:
		return "a whole number that is not negative"
	}
	return "something else"
}
