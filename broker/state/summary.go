package state

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxShownBytes is how much of one value the audit trail shows.
const maxShownBytes = 256

// summary describes the fields that it visits, for the audit trail. Of bytes it
// shows the size and hash, of secrets the size alone.
type summary struct{ values []shown }

// shown is one field in words.
type shown struct{ name, value string }

func (s *summary) add(name, value string) {
	if name != "" && value != "" {
		s.values = append(s.values, shown{name, shorten(value)})
	}
}

func (s *summary) text(_ number, name string, v *string)  { s.add(name, *v) }
func (s *summary) words(_ number, name string, v *string) { s.add(name, *v) }

func (s *summary) blob(_ number, name string, v *[]byte) {
	if len(*v) > 0 {
		s.add(name, fmt.Sprintf("%d bytes, SHA-256 %x", len(*v), sha256.Sum256(*v)))
	}
}

func (s *summary) secret(_ number, name string, v *[]byte) {
	if len(*v) > 0 {
		s.add(name, fmt.Sprintf("%d bytes, not shown", len(*v)))
	}
}

func (s *summary) count(_ number, name string, v *uint64) {
	if *v != 0 {
		s.add(name, strconv.FormatUint(*v, 10))
	}
}

func (s *summary) flag(_ number, name string, v *bool) {
	if *v {
		s.add(name, "true")
	}
}

func (s *summary) span(_ number, name string, v *time.Duration) {
	if *v != 0 {
		s.add(name, v.String())
	}
}

func (s *summary) moment(_ number, name string, v *time.Time) {
	if !v.IsZero() {
		s.add(name, v.UTC().Format(time.RFC3339Nano))
	}
}

func (s *summary) optional(_ number, name string, v **uint64) {
	if *v != nil {
		s.add(name, strconv.FormatUint(**v, 10))
	}
}

func (s *summary) group(_ number, name string, fields func()) {
	first := len(s.values)
	fields()
	for i := first; i < len(s.values); i++ {
		s.values[i].name = name + "." + s.values[i].name
	}
}

func (s *summary) repeat(_ number, name string, count, _ int, _ func(int), show func(int) string) {
	texts := make([]string, count)
	for i := range texts {
		texts[i] = show(i)
	}
	s.add(name, strings.Join(texts, ", "))
}

func (s *summary) reading() bool      { return false }
func (s *summary) fail(string, error) {}

func (s *summary) derived(name string, show func() string) { s.add(name, show()) }

// shorten keeps a long value's beginning, and names its size and hash.
func shorten(value string) string {
	if len(value) <= maxShownBytes {
		return value
	}
	end := maxShownBytes
	for end > 0 && !utf8.RuneStart(value[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes, SHA-256 %x)", value[:end], len(value), sha256.Sum256([]byte(value)))
}

// differences names what differs between two descriptions of one record; nil
// stands for a record that is not there.
func differences(record string, before, after []shown) []AuditField {
	var out []AuditField
	was := make(map[string]string, len(before))
	for _, b := range before {
		was[b.name] = b.value
	}
	for _, a := range after {
		if old := was[a.name]; old != a.value {
			out = append(out, AuditField{Record: record, Name: a.name, Before: old, After: a.value})
		}
		delete(was, a.name)
	}
	for _, b := range before {
		if _, gone := was[b.name]; gone {
			out = append(out, AuditField{Record: record, Name: b.name, Before: b.value})
		}
	}
	return out
}
