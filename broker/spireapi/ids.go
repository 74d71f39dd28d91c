package spireapi

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// readID reads a SPIFFE ID byte for byte. A missing message is the zero ID.
func readID(field string, id *types.SPIFFEID) (spiffeid.ID, error) {
	if id == nil {
		return spiffeid.ID{}, nil
	}
	read, err := workload.ParseID("spiffe://" + id.TrustDomain + id.Path)
	if err != nil {
		return spiffeid.ID{}, broker.Refuse(broker.InvalidArgument, "%s: %v", field, err)
	}
	return read, nil
}

func writeID(id spiffeid.ID) *types.SPIFFEID {
	return &types.SPIFFEID{TrustDomain: id.TrustDomain().Name(), Path: id.Path()}
}

// readDomain reads the name of a trust domain, with or without spiffe://.
func readDomain(field, name string) (spiffeid.TrustDomain, error) {
	if name == "" {
		return spiffeid.TrustDomain{}, broker.Refuse(broker.InvalidArgument, "%s is missing: say which trust domain, such as partner.example", field)
	}
	td, err := workload.ParseTrustDomain(name)
	if err != nil {
		return spiffeid.TrustDomain{}, broker.Refuse(broker.InvalidArgument, "%s: %v", field, err)
	}
	return td, nil
}

func readDomains(field string, names []string) ([]spiffeid.TrustDomain, error) {
	var out []spiffeid.TrustDomain
	for _, name := range names {
		td, err := readDomain(field, name)
		if err != nil {
			return nil, err
		}
		out = append(out, td)
	}
	return out, nil
}

func readSelectors(in []*types.Selector) []attest.Selector {
	var out []attest.Selector
	for _, s := range in {
		out = append(out, attest.Selector{Type: s.GetType(), Value: s.GetValue()})
	}
	return out
}

func writeSelectors(in []attest.Selector) []*types.Selector {
	var out []*types.Selector
	for _, s := range in {
		out = append(out, &types.Selector{Type: s.Type, Value: s.Value})
	}
	return out
}

// readMatch translates a match behaviour; what is not known stays unknown, and
// registrar refuses it.
func readMatch(m int32) registrar.Match {
	if m < 0 || m > int32(registrar.MatchAny) {
		return registrar.MatchAny + 1
	}
	return registrar.Match(m) // both are numbered alike: exact, subset, superset, any
}

func readSelectorMatch(m *types.SelectorMatch) *registrar.SelectorMatch {
	if m == nil {
		return nil
	}
	return &registrar.SelectorMatch{Selectors: readSelectors(m.Selectors), Match: readMatch(int32(m.Match))}
}

// readTime reads seconds since 1970; 0 is no time.
func readTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func writeTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
