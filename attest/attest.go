// Package attest is the words of attestation: what was observed of a caller.
// An identity is given for what an attestor itself saw, never for a claim.
package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Selector is one observed property, such as unix:uid:1000.
type Selector struct {
	Type  string // attestor's name; never empty, holds no colon
	Value string // never empty; may hold colons
}

// String returns type:value.
func (s Selector) String() string { return s.Type + ":" + s.Value }

// Limits on selectors that come from outside.
const (
	MaxSelectorBytes = 2048
	MaxSelectors     = 256
)

// ParseSelector reads type:value.
func ParseSelector(text string) (Selector, error) {
	kind, value, ok := strings.Cut(text, ":")
	s := Selector{Type: kind, Value: value}
	if !ok {
		return Selector{}, fmt.Errorf("selector %.80q has no colon: write type:value, such as unix:uid:1000", text)
	}
	return s, s.Validate()
}

// Validate says what is wrong with s.
func (s Selector) Validate() error {
	switch {
	case s.Type == "":
		return fmt.Errorf("selector %.80q has no type: write type:value, such as unix:uid:1000", s.String())
	case strings.Contains(s.Type, ":"):
		return fmt.Errorf("selector type %.80q contains a colon", s.Type)
	case s.Value == "":
		return fmt.Errorf("selector %.80q has no value: write type:value, such as unix:uid:1000", s.String())
	case !utf8.ValidString(s.Type), !utf8.ValidString(s.Value):
		return fmt.Errorf("selector %.80q is not UTF-8", s.String())
	case len(s.Type)+len(s.Value) > MaxSelectorBytes:
		return fmt.Errorf("selector of type %.40q has %d bytes, the most is %d", s.Type, len(s.Type)+len(s.Value), MaxSelectorBytes)
	}
	return nil
}

// Compare orders selectors by type, then value.
func (s Selector) Compare(o Selector) int {
	return cmp.Or(cmp.Compare(s.Type, o.Type), cmp.Compare(s.Value, o.Value))
}

// Sort returns selectors sorted and without repetitions; the argument is not changed.
func Sort(selectors []Selector) []Selector {
	out := slices.Clone(selectors)
	slices.SortFunc(out, Selector.Compare)
	return slices.Compact(out)
}

// Subset reports whether every selector of want is in have. Both are sorted.
// An empty want is a subset of nothing: no selectors never means everybody.
func Subset(want, have []Selector) bool {
	if len(want) == 0 {
		return false
	}
	i := 0
	for _, w := range want {
		for i < len(have) && have[i].Compare(w) < 0 {
			i++
		}
		if i == len(have) || have[i] != w {
			return false
		}
	}
	return true
}

// ErrProcessLost says that the process that called has ended, was replaced or
// changed, so that nothing observed is known to be of it. Other errors of an
// attestation are of the observer's side and may pass.
var ErrProcessLost = errors.New("the process that called is no longer what it was")

// Process is a local process that called, as the kernel names it. Whoever
// accepted its connection holds what keeps the PID from meaning another process.
type Process struct {
	PID int32
	UID uint32
	GID uint32
	// Alive reports nil while the PID still means the process that called,
	// otherwise why not: ErrProcessLost, or what keeps it from being known.
	// An attestor asks it again after its last observation.
	Alive func() error
}

// ProcessAttestor observes a local process. It returns sorted selectors; it
// fails if the process ended or changed meanwhile.
type ProcessAttestor interface {
	Attest(ctx context.Context, p Process) ([]Selector, error)
}
