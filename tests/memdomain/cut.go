package memdomain

import (
	"maps"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// cut is one committed state of a Domain. It implements grant.Ledger and never
// changes once it is committed.
type cut struct {
	index   uint64
	td      spiffeid.TrustDomain
	entries []*workload.Entry
	own     *federation.Published
	foreign map[spiffeid.TrustDomain]*federation.Published
}

func (c *cut) Index() uint64                                         { return c.index }
func (c *cut) TrustDomain() spiffeid.TrustDomain                     { return c.td }
func (c *cut) Own() *federation.Published                            { return c.own }
func (c *cut) Foreign(td spiffeid.TrustDomain) *federation.Published { return c.foreign[td] }
func (c *cut) TTLs() (x509, jwt time.Duration)                       { return X509TTL, JWTTTL }

func (c *cut) EntriesFor(selectors []attest.Selector) []*workload.Entry {
	var out []*workload.Entry
	for _, e := range c.entries {
		if e.Matches(selectors) {
			out = append(out, e)
		}
	}
	return out
}

// set replaces td's bundle in a cut that is not committed yet.
func (c *cut) set(td spiffeid.TrustDomain, p *federation.Published) {
	c.foreign = maps.Clone(c.foreign)
	if p == nil {
		delete(c.foreign, td)
		return
	}
	c.foreign[td] = p
}
