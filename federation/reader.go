package federation

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on the JSON of a bundle document. A bundle as the specification has
// it is four levels deep and has nine members in its largest object.
const (
	maxDepth   = 16
	maxMembers = 256
)

// reader reads one JSON text (RFC 8259) from memory. It is stricter than
// encoding/json: a repeated member name, invalid UTF-8, an unpaired surrogate
// and anything after the text are errors, and each error says at which byte.
// It allocates for member names with escapes and for nothing else.
type reader struct {
	doc   []byte
	at    int
	depth int
	names [][]byte // names of the members of all open objects, innermost last
}

// fail makes an error at byte at.
func (r *reader) fail(at int, format string, args ...any) error {
	return failAt(at, format, args...)
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *reader) peek() byte {
	for ; r.at < len(r.doc); r.at++ {
		switch c := r.doc[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// want reads the byte c, with white space before it.
func (r *reader) want(c byte, after string) error {
	if r.peek() != c {
		return r.unexpected("%q "+after, c)
	}
	r.at++
	return nil
}

// unexpected makes an error for the byte that stands where format describes another.
func (r *reader) unexpected(format string, args ...any) error {
	if r.at >= len(r.doc) {
		return r.fail(r.at, "the document ends where it should have "+format, args...)
	}
	found, _ := utf8.DecodeRune(r.doc[r.at:])
	return r.fail(r.at, "found %q instead of "+format, append([]any{found}, args...)...)
}

// end makes sure that nothing but white space is left.
func (r *reader) end() error {
	if r.peek(); r.at < len(r.doc) {
		found, _ := utf8.DecodeRune(r.doc[r.at:])
		return r.fail(r.at, "found %q after the end of the document", found)
	}
	return nil
}

func (r *reader) enter() error {
	if r.depth++; r.depth > maxDepth {
		return r.fail(r.at, "nested more than %d levels deep", maxDepth)
	}
	return nil
}

// object reads an object. It calls member with each name, in the document's
// order, when the value is next; member must read the value. The name is valid
// until the object ends.
func (r *reader) object(member func(name []byte) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	if err := r.want('{', "to open an object"); err != nil {
		return err
	}
	base := len(r.names)
	defer func() { r.names, r.depth = r.names[:base], r.depth-1 }()
	if r.peek() == '}' {
		r.at++
		return nil
	}
	for {
		name, err := r.name(base)
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		if r.peek() == '}' {
			r.at++
			return nil
		}
		if err := r.want(',', "or '}' after a member"); err != nil {
			return err
		}
	}
}

// name reads a member's name and colon. base is where the names of its object begin.
func (r *reader) name(base int) ([]byte, error) {
	if r.peek() != '"' {
		return nil, r.unexpected("the name of a member")
	}
	start := r.at
	name, err := r.text()
	if err != nil {
		return nil, err
	}
	for _, other := range r.names[base:] {
		if bytes.Equal(other, name) {
			return nil, r.fail(start, "member %.40q appears twice in one object", name)
		}
	}
	if r.names = append(r.names, name); len(r.names)-base > maxMembers {
		return nil, r.fail(start, "more than %d members in one object", maxMembers)
	}
	return name, r.want(':', "after a member's name")
}

// array reads an array. It calls element when an element is next; element must read it.
func (r *reader) array(element func(index int) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	if err := r.want('[', "to open an array"); err != nil {
		return err
	}
	if r.peek() == ']' {
		r.at++
		return nil
	}
	for i := 0; ; i++ {
		r.peek()
		if err := element(i); err != nil {
			return err
		}
		if r.peek() == ']' {
			r.at++
			return nil
		}
		if err := r.want(',', "or ']' after an element"); err != nil {
			return err
		}
	}
}

// skip reads any value, as strictly as one that matters.
func (r *reader) skip() error {
	switch c := r.peek(); {
	case c == '{':
		return r.object(func([]byte) error { return r.skip() })
	case c == '[':
		return r.array(func(int) error { return r.skip() })
	case c == '"':
		_, err := r.text()
		return err
	case c == '-' || isDigit(c):
		_, err := r.number()
		return err
	}
	for _, word := range []string{"true", "false", "null"} {
		if r.word(word) {
			return nil
		}
	}
	return r.unexpected("a value")
}

// word reads the literal word if it is next.
func (r *reader) word(word string) bool {
	r.peek()
	if !bytes.HasPrefix(r.doc[r.at:], []byte(word)) {
		return false
	}
	r.at += len(word)
	return true
}

// number reads a number and returns its text.
func (r *reader) number() (string, error) {
	r.peek()
	start := r.at
	r.accept('-')
	switch digits := r.digits(); {
	case digits == 0:
		return "", r.unexpected("a digit")
	case digits > 1 && r.doc[r.at-digits] == '0':
		return "", r.fail(start, "a number must not begin with 0")
	}
	if r.accept('.') && r.digits() == 0 {
		return "", r.unexpected("a digit after the decimal point")
	}
	if r.accept('e') || r.accept('E') {
		_ = r.accept('+') || r.accept('-')
		if r.digits() == 0 {
			return "", r.unexpected("a digit of the exponent")
		}
	}
	return string(r.doc[start:r.at]), nil
}

func (r *reader) accept(c byte) bool {
	if r.at < len(r.doc) && r.doc[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) digits() int {
	start := r.at
	for r.at < len(r.doc) && isDigit(r.doc[r.at]) {
		r.at++
	}
	return r.at - start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// text reads a string. The result shares the document's memory unless the
// string has escapes. The document is known to be valid UTF-8.
func (r *reader) text() ([]byte, error) {
	if err := r.want('"', "to open a string"); err != nil {
		return nil, err
	}
	start := r.at
	for ; r.at < len(r.doc); r.at++ {
		switch c := r.doc[r.at]; {
		case c == '"':
			r.at++
			return r.doc[start : r.at-1 : r.at-1], nil
		case c == '\\':
			return r.escaped(bytes.Clone(r.doc[start:r.at]))
		case c < ' ':
			return nil, r.fail(r.at, "control character %#02x inside a string", c)
		}
	}
	return nil, r.fail(r.at, "the document ends inside a string")
}

// escaped reads the rest of a string whose first part is out and that has an escape next.
func (r *reader) escaped(out []byte) ([]byte, error) {
	for r.at < len(r.doc) {
		switch c := r.doc[r.at]; {
		case c == '"':
			r.at++
			return out, nil
		case c == '\\':
			decoded, err := r.escape()
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, decoded)
		case c < ' ':
			return nil, r.fail(r.at, "control character %#02x inside a string", c)
		default:
			out = append(out, c)
			r.at++
		}
	}
	return nil, r.fail(r.at, "the document ends inside a string")
}

var escapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape, or the two that make a surrogate pair.
func (r *reader) escape() (rune, error) {
	start := r.at
	r.at++
	if r.accept('u') {
		return r.unicode(start)
	}
	if r.at < len(r.doc) {
		if decoded, ok := escapes[r.doc[r.at]]; ok {
			r.at++
			return decoded, nil
		}
	}
	return 0, r.fail(start, "unknown escape in a string")
}

func (r *reader) unicode(start int) (rune, error) {
	first, ok := r.hex4()
	if !ok {
		return 0, r.fail(start, `\u must be followed by four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(first) {
		return first, nil
	}
	if r.accept('\\') && r.accept('u') {
		if second, ok := r.hex4(); ok {
			if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
				return pair, nil
			}
		}
	}
	return 0, r.fail(start, "unpaired surrogate in a string")
}

func (r *reader) hex4() (value rune, ok bool) {
	if len(r.doc)-r.at < 4 {
		return 0, false
	}
	for _, c := range r.doc[r.at : r.at+4] {
		switch {
		case isDigit(c):
			value = value<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			value = value<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	r.at += 4
	return value, true
}

// invalidUTF8 returns where the first invalid byte is, -1 if there is none.
func invalidUTF8(doc []byte) int {
	if utf8.Valid(doc) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(doc[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}
