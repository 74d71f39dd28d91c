package grant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// JWTSVID is a token for a workload, with the hint of its entry.
type JWTSVID struct {
	ca.JWTSVID
	Hint string
}

// JWTSVIDs signs a token for each identity of a workload on which selectors
// were observed, or only for the identity only if it is not zero. Audience has
// passed ca.CheckAudience. It fails with ErrNoIdentity if there is none, and
// with ca.ErrNotReady in the chain.
func (g *Grants) JWTSVIDs(ctx context.Context, selectors []attest.Selector, audience []string, only spiffeid.ID) ([]JWTSVID, error) {
	l, err := g.ledger()
	if err != nil {
		return nil, err
	}
	_, defaultTTL := l.TTLs()
	now := time.Now()
	var out []JWTSVID
	room := MaxMessageBytes
	for _, one := range granted(entries(l, selectors, now)) {
		if !only.IsZero() && one.entry.SPIFFEID != only {
			continue
		}
		token, err := g.signJWT(ctx, ca.JWTRequest{
			ID:       one.entry.SPIFFEID,
			Audience: audience,
			TTL:      lifetime(one.entry, one.entry.JWTTTL, defaultTTL, now),
		})
		if err != nil {
			return nil, fmt.Errorf("issue a JWT-SVID for %s: %w", one.entry.SPIFFEID, err)
		}
		room -= len(token.Token) + len(one.hint) + len(one.entry.SPIFFEID.String()) + 32
		if room < 0 {
			break
		}
		out = append(out, JWTSVID{token, one.hint})
	}
	if len(out) == 0 {
		return nil, ErrNoIdentity
	}
	return out, nil
}

func (g *Grants) signJWT(ctx context.Context, r ca.JWTRequest) (ca.JWTSVID, error) {
	if err := g.enter(ctx); err != nil {
		return ca.JWTSVID{}, err
	}
	defer g.leave()
	return g.signer.JWTSVID(r)
}

// Trust is whose bundles a workload may validate with: as of one cut.
type Trust struct {
	ledger  Ledger
	entries []*workload.Entry
}

// Trust returns what a workload on which selectors were observed trusts. It
// fails with ErrNoIdentity if no entry matches, and with the Source's error.
func (g *Grants) Trust(selectors []attest.Selector) (Trust, error) {
	l, err := g.ledger()
	if err != nil {
		return Trust{}, err
	}
	matched := entries(l, selectors, time.Now())
	if len(matched) == 0 {
		return Trust{}, ErrNoIdentity
	}
	return Trust{l, matched}, nil
}

// Bundle returns td's bundle if the workload trusts td: it is its own domain,
// or one that an entry of it federates with. Otherwise nil.
func (t Trust) Bundle(td spiffeid.TrustDomain) *federation.Published {
	if td == t.ledger.TrustDomain() {
		return t.ledger.Own()
	}
	for _, e := range t.entries {
		if slices.Contains(e.FederatesWith, td) {
			return t.ledger.Foreign(td)
		}
	}
	return nil
}
