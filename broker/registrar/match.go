package registrar

import (
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
)

// Match is how a set of a record is compared with the set that was asked for.
type Match uint8

// The ways to compare.
const (
	MatchExact    Match = iota // both sets are equal
	MatchSubset                // the record has nothing beyond what was asked for, and at least one of it
	MatchSuperset              // the record has everything that was asked for
	MatchAny                   // the record has at least one of what was asked for
)

// SelectorMatch asks for records by their selectors.
type SelectorMatch struct {
	Selectors []attest.Selector // at least one, in any order
	Match     Match
}

// DomainMatch asks for entries by the trust domains that they federate with.
type DomainMatch struct {
	TrustDomains []spiffeid.TrustDomain // at least one, in any order
	Match        Match
}

func (m Match) check() error {
	if m > MatchAny {
		return broker.Refuse(broker.InvalidArgument, "filter has the unknown match behaviour %d: use exact, subset, superset or any", m)
	}
	return nil
}

// matches compares two sorted sets. An empty set of a record matches nothing.
func matches[T any](m Match, have, want []T, compare func(a, b T) int) bool {
	common := 0
	for i, j := 0, 0; i < len(have) && j < len(want); {
		switch c := compare(have[i], want[j]); {
		case c < 0:
			i++
		case c > 0:
			j++
		default:
			common, i, j = common+1, i+1, j+1
		}
	}
	switch m {
	case MatchExact:
		return common == len(have) && common == len(want)
	case MatchSubset:
		return common > 0 && common == len(have)
	case MatchSuperset:
		return common == len(want)
	default:
		return common > 0
	}
}

// compile checks a selector filter and returns its test; nil keeps everything.
func (m *SelectorMatch) compile() (func([]attest.Selector) bool, error) {
	if m == nil {
		return everything, nil
	}
	if err := m.Match.check(); err != nil {
		return nil, err
	}
	if len(m.Selectors) == 0 {
		return nil, broker.Refuse(broker.InvalidArgument, "selector filter has no selectors: give at least one, or leave the filter away")
	}
	for _, s := range m.Selectors {
		if err := s.Validate(); err != nil {
			return nil, broker.Refuse(broker.InvalidArgument, "selector filter: %v", err)
		}
	}
	want := attest.Sort(m.Selectors)
	return func(have []attest.Selector) bool {
		return matches(m.Match, have, want, attest.Selector.Compare)
	}, nil
}

// compile checks a trust domain filter and returns its test; nil keeps everything.
func (m *DomainMatch) compile() (func([]spiffeid.TrustDomain) bool, error) {
	if m == nil {
		return everything, nil
	}
	if err := m.Match.check(); err != nil {
		return nil, err
	}
	if len(m.TrustDomains) == 0 {
		return nil, broker.Refuse(broker.InvalidArgument, "federates-with filter has no trust domains: give at least one, or leave the filter away")
	}
	want := slices.Clone(m.TrustDomains)
	slices.SortFunc(want, spiffeid.TrustDomain.Compare)
	want = slices.Compact(want)
	return func(have []spiffeid.TrustDomain) bool {
		return matches(m.Match, have, want, spiffeid.TrustDomain.Compare)
	}, nil
}
