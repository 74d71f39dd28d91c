package grant

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/workload"
)

// subject is everybody who is entitled to the same entries. Whatever they get
// is put together once for all of them.
type subject struct {
	key        string
	entries    []*workload.Entry
	identities []grantedIdentity
	federates  []spiffeid.TrustDomain // sorted; not our own
	now        atomic.Pointer[update]

	// making is held while now is replaced or completed. It is taken after
	// Grants.mu, never before.
	making sync.Mutex

	leftOut [kinds]string // what was last logged to be left out; guarded by making

	// The rest is guarded by Grants.mu.
	index uint64 // of the Ledger that now was made from
	views int    // who sits here; nobody: it is forgotten
}

type grantedIdentity struct {
	*identity
	hint string
}

// update is what a subject gets as of one cut.
type update struct {
	own     *bundlePart
	foreign []*bundlePart
	svids   []*svid // as in made[X509SVIDs]
	// made are the answers that were asked for; nil: nobody did yet, or an
	// SVID is missing.
	made [kinds]atomic.Pointer[Message]
	// replaced is closed when there is an answer that differs from one of made.
	replaced chan struct{}
}

// subjectKey is equal for equal entries in equal order. Entries are told apart
// by their address, which the subject keeps from being used again.
func subjectKey(entries []*workload.Entry) string {
	key := make([]byte, 0, 8*len(entries))
	for _, e := range entries {
		key = binary.NativeEndian.AppendUint64(key, uint64(uintptr(unsafe.Pointer(e))))
	}
	return string(key)
}

// subject returns the subject of entries, current as of l. Grants.mu is held.
func (g *Grants) subject(entries []*workload.Entry, l Ledger) *subject {
	key := subjectKey(entries)
	s := g.subjects[key]
	if s == nil {
		s = &subject{key: key, entries: entries, federates: federates(entries, l.TrustDomain())}
		for _, one := range granted(entries) {
			id := g.identity(one.entry)
			id.subjects[s] = struct{}{}
			s.identities = append(s.identities, grantedIdentity{id, one.hint})
		}
		g.subjects[key] = s
	}
	if s.now.Load() == nil || s.index < l.Index() {
		g.refresh(s, l)
	}
	return s
}

// identity returns what this host has for e, kept if it still is what e says.
// Grants.mu is held.
func (g *Grants) identity(e *workload.Entry) *identity {
	id := g.identities[e.ID]
	if id == nil || !id.serves(e) {
		id = newIdentity(e)
		g.identities[e.ID] = id
	}
	return id
}

// release forgets s if nobody sits there any more. With keep, its identities
// stay until they would be renewed, for the workload's next process. Grants.mu
// is held.
func (g *Grants) release(s *subject, keep bool) {
	s.views--
	if s.views > 0 {
		return
	}
	delete(g.subjects, s.key)
	for _, one := range s.identities {
		delete(one.subjects, s)
		if len(one.subjects) == 0 && (!keep || one.svid.Load() == nil) {
			g.forget(one.identity)
		}
	}
}

// forget drops id, unless another one has taken its place. Grants.mu is held.
func (g *Grants) forget(id *identity) {
	if g.identities[id.entry.ID] == id {
		delete(g.identities, id.entry.ID)
	}
}

// federates is the union of what the entries federate with.
func federates(entries []*workload.Entry, own spiffeid.TrustDomain) []spiffeid.TrustDomain {
	var all []spiffeid.TrustDomain
	for _, e := range entries {
		all = append(all, e.FederatesWith...)
	}
	slices.SortFunc(all, spiffeid.TrustDomain.Compare)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(td spiffeid.TrustDomain) bool { return td == own })
}

// refresh makes s current as of l and wakes its streams if an answer that they
// were given is no longer right. Grants.mu is held.
func (g *Grants) refresh(s *subject, l Ledger) {
	next := &update{own: g.bundles.own(l.Own())}
	for _, td := range s.federates {
		if part := g.bundles.foreign(td, l.Foreign(td)); part != nil {
			next.foreign = append(next.foreign, part)
		}
	}
	s.index = l.Index()
	g.replace(s, next)
}

// reissue puts new SVIDs, or the lack of them, into s's answers and leaves the
// cut that they are of. Grants.mu is held.
func (g *Grants) reissue(s *subject) {
	last := s.now.Load()
	g.replace(s, &update{own: last.own, foreign: last.foreign})
}

// replace makes next what s gets. Streams are woken only if an answer that
// they may have is another one in next.
func (g *Grants) replace(s *subject, next *update) {
	s.making.Lock()
	defer s.making.Unlock()
	last := s.now.Load()
	switch {
	case last == nil:
		next.replaced = make(chan struct{})
		s.now.Store(next)
	case !s.differs(last, next):
	case g.carry(s, last, next):
		next.replaced = last.replaced
		s.now.Store(next)
	default:
		next.replaced = make(chan struct{})
		s.now.Store(next)
		close(last.replaced)
	}
}

// differs reports whether next is made of anything that last is not.
func (s *subject) differs(last, next *update) bool {
	if last.own != next.own || !slices.Equal(last.foreign, next.foreign) {
		return true
	}
	if last.svids == nil {
		return false
	}
	now := time.Now()
	for i, one := range s.identities {
		if current := one.valid(now); current == nil || current != last.svids[i] {
			return true
		}
	}
	return false
}

// carry makes in next the answers that last has, and reports whether they all
// say the same as before. s.making is held.
func (g *Grants) carry(s *subject, last, next *update) (same bool) {
	same = true
	for kind := range kinds {
		before := last.made[kind].Load()
		if before == nil {
			continue
		}
		after := g.compose(s, next, kind)
		if after.Equal(before) {
			next.made[kind].Store(before)
		} else {
			same = false
		}
	}
	return same
}

// message returns the current answer of a kind, and the update that it is of.
// It signs what is missing, as long as ctx lasts.
func (g *Grants) message(ctx context.Context, s *subject, kind Kind) (*Message, *update, error) {
	for {
		u := s.now.Load()
		if m := u.made[kind].Load(); m != nil {
			return m, u, nil
		}
		if kind == X509SVIDs {
			for _, one := range s.identities {
				if _, err := g.ensure(ctx, one.identity); err != nil {
					return nil, nil, err
				}
			}
		}
		s.making.Lock()
		u = s.now.Load()
		m := u.made[kind].Load()
		if m == nil {
			m = g.compose(s, u, kind)
		}
		s.making.Unlock()
		if m != nil {
			return m, u, nil
		}
	}
}

// compose puts together the answer of a kind and stores it in u; nil if an SVID
// is missing. s.making is held.
func (g *Grants) compose(s *subject, u *update, kind Kind) *Message {
	m := &Message{}
	switch kind {
	case X509SVIDs:
		if m = g.makeX509(s, u); m == nil {
			return nil
		}
	case X509Bundles:
		m.mapped(x509BundlesTag, u.own.x509)
		g.addForeign(s, m, kind, u.foreign)
	case JWTBundles:
		m.mapped(jwtBundlesTag, u.own.jwt)
		g.addForeign(s, m, kind, u.foreign)
	}
	u.made[kind].Store(m)
	return m
}

// makeX509 puts together SVIDs and bundles. Should a workload have more
// identities than a message holds, the first of them are served.
func (g *Grants) makeX509(s *subject, u *update) *Message {
	m := &Message{}
	now := time.Now()
	svids := make([]*svid, 0, len(s.identities))
	for _, one := range s.identities {
		current := one.valid(now)
		if current == nil {
			return nil
		}
		svids = append(svids, current)
		if m.size+len(current.part)+len(one.hint)+len(u.own.inSVID)+maxMapOverhead <= MaxMessageBytes {
			m.x509SVID(current.part, one.hint, u.own.inSVID)
		}
	}
	u.svids = svids
	g.addForeign(s, m, X509SVIDs, u.foreign)
	return m
}

// addForeign adds as many foreign bundles as fit, and logs a change of those
// that do not.
func (g *Grants) addForeign(s *subject, m *Message, kind Kind, parts []*bundlePart) {
	tag, entry := federatedTag, (*bundlePart).x509Entry
	switch kind {
	case X509Bundles:
		tag = x509BundlesTag
	case JWTBundles:
		tag, entry = jwtBundlesTag, (*bundlePart).jwtEntry
	}
	taken, left := fit(parts, entry, MaxMessageBytes-m.size)
	for _, e := range taken {
		m.mapped(tag, e)
	}
	if names := fmt.Sprint(left); names != s.leftOut[kind] {
		s.leftOut[kind] = names
		if len(left) > 0 {
			g.log.Warn("bundles do not fit into a workload's message and are left out of it: let its entries federate with fewer domains, or ask these for smaller bundles",
				"spiffe_id", s.entries[0].SPIFFEID.String(), "trust_domains", names)
		}
	}
}
