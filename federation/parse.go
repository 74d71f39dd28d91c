package federation

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// MaxHint is the largest refresh hint that a Bundle holds; a larger one in a
// document is read as this. It is what a time.Duration has room for, in whole seconds.
const MaxHint = math.MaxInt64 / time.Second * time.Second

// ParseError says why a document is no bundle, and where. No part of such a
// document is used.
type ParseError struct {
	Offset int // byte of the document
	Key    int // index of the element of keys that is wrong, -1 if it is not an element
	Reason string
}

func (e *ParseError) Error() string {
	if e.Key < 0 {
		return fmt.Sprintf("bundle document, byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("bundle document, byte %d, keys[%d]: %s", e.Offset, e.Key, e.Reason)
}

func failAt(at int, format string, args ...any) *ParseError {
	return &ParseError{Offset: at, Key: -1, Reason: fmt.Sprintf(format, args...)}
}

// Ignored is an element of keys that a bundle goes without. The rest of the
// document counts (Trust Domain and Bundle §4.1.3).
type Ignored struct {
	Key    int // index in keys
	Offset int // byte of the document where the element begins
	Reason string
	// Alarm is set when the element's publisher has to be told: the key is weak,
	// is no authority, or its private half is in the document.
	Alarm bool
}

func (i Ignored) String() string { return fmt.Sprintf("keys[%d] is ignored: %s", i.Key, i.Reason) }

// Parse reads a SPIFFE bundle document for td (Trust Domain and Bundle §4). A
// document is understood whole or refused with a *ParseError; what is in it and
// not trusted is listed.
//
// Ignored are elements with an unknown or missing kty or use (TB-10, TB-11), or
// with a curve that JOSE does not know; x509-svid elements without x5c (XS-29) or whose certificate is no CA;
// jwt-svid elements without kid, for a JWT-SVID could not name them; keys too
// weak or too large; repetitions of a certificate; and a key whose private half
// is in the document, for it is everybody's. A bundle that has nothing left is
// the revocation of everything (TB-12), not an error.
//
// Refused are absent or null keys (TB-9), a repeated member name or kid,
// trailing bytes, invalid UTF-8, an element that contradicts itself or cannot be decoded
// although its kty and use are known, a sequence that is no uint64, and what is
// beyond MaxBundleBytes and MaxAuthorities. A senseless but numeric hint is read as
// the nearest one that a Bundle can hold.
//
// The authorities are in canonical order, whatever the document's.
func Parse(td spiffeid.TrustDomain, document []byte) (*Bundle, []Ignored, error) {
	if td.IsZero() {
		return nil, nil, failAt(0, "no trust domain was given for it: a bundle is worth nothing without one")
	}
	if len(document) > MaxBundleBytes {
		return nil, nil, failAt(MaxBundleBytes, "longer than %d bytes, the most that a bundle may have", MaxBundleBytes)
	}
	if at := invalidUTF8(document); at >= 0 {
		return nil, nil, failAt(at, "not UTF-8")
	}
	p := parser{reader: reader{doc: document}, bundle: &Bundle{TrustDomain: td}}
	if err := p.document(); err != nil {
		return nil, nil, err
	}
	p.bundle.sort()
	return p.bundle, p.ignored, nil
}

// parser builds one bundle from one document.
type parser struct {
	reader
	bundle  *Bundle
	ignored []Ignored
	kids    map[string]int // index of the jwt-svid element with this kid
	hasKeys bool
}

func (p *parser) document() error {
	if p.peek() != '{' {
		return p.unexpected("the object that a bundle is")
	}
	if err := p.object(p.member); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	if !p.hasKeys {
		return p.fail(0, `member "keys" is missing: a bundle without it says nothing, not even that it is empty`)
	}
	return nil
}

func (p *parser) member(name []byte) error {
	switch string(name) {
	case "keys":
		return p.keys()
	case "spiffe_sequence":
		return p.sequence()
	case "spiffe_refresh_hint":
		return p.hint()
	}
	return p.skip()
}

func (p *parser) keys() error {
	if p.peek() != '[' {
		return p.unexpected(`the array that "keys" must be`)
	}
	p.hasKeys = true
	return p.array(func(index int) error {
		if index >= MaxAuthorities {
			return p.fail(p.at, "more than %d elements in keys", MaxAuthorities)
		}
		e := element{parser: p, index: index, offset: p.at, values: make(map[string]int, 8)}
		err := e.read()
		if wrong := (*ParseError)(nil); errors.As(err, &wrong) {
			wrong.Key = index
		}
		return err
	})
}

// sequence reads spiffe_sequence with all of its 64 bits (TB-6).
func (p *parser) sequence() error {
	if c := p.peek(); c != '-' && !isDigit(c) {
		return p.unexpected(`the number that "spiffe_sequence" must be`)
	}
	start := p.at
	text, err := p.number()
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return p.fail(start, "spiffe_sequence is %.40s and must be an integer from 0 to %d", text, uint64(math.MaxUint64))
	}
	p.bundle.Sequence, p.bundle.Sequenced = n, true
	return nil
}

// hint reads spiffe_refresh_hint. It is advice, so any number will do.
func (p *parser) hint() error {
	if c := p.peek(); c != '-' && !isDigit(c) {
		return p.unexpected(`the number of seconds that "spiffe_refresh_hint" must be`)
	}
	text, err := p.number()
	if err != nil {
		return err
	}
	p.bundle.Hint, p.bundle.Hinted = hintOf(text), true
	return nil
}

// hintOf returns the whole seconds that the JSON number text has, not less than 0 and
// not more than MaxHint.
func hintOf(text string) time.Duration {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		// A fraction, an exponent, or out of an int64's range; ParseFloat gives ±Inf beyond a float64's.
		f, _ := strconv.ParseFloat(text, 64)
		seconds = int64(max(0, min(f, float64(MaxHint/time.Second))))
	}
	return time.Duration(max(0, min(seconds, int64(MaxHint/time.Second)))) * time.Second
}
