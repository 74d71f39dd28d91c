package grant

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

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
		g.addForeign(s, m, kind, u.foreign, 0)
	case JWTBundles:
		m.mapped(jwtBundlesTag, u.own.jwt)
		g.addForeign(s, m, kind, u.foreign, 0)
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
	cut := 0
	for _, one := range s.identities {
		current := one.valid(now)
		if current == nil {
			return nil
		}
		svids = append(svids, current)
		if m.size+len(current.part)+len(one.hint)+len(u.own.inSVID)+maxMapOverhead <= MaxMessageBytes {
			m.x509SVID(current.part, one.hint, u.own.inSVID)
		} else {
			cut++
		}
	}
	u.svids = svids
	g.addForeign(s, m, X509SVIDs, u.foreign, cut)
	return m
}

// addForeign adds as many foreign bundles as fit. What does not fit, with the
// identities that were cut, is logged when it changes.
func (g *Grants) addForeign(s *subject, m *Message, kind Kind, parts []*bundlePart, cut int) {
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
	leftOut := ""
	if len(left) > 0 || cut > 0 {
		leftOut = fmt.Sprintf("%d identities, bundles of %v", cut, left)
	}
	if leftOut != s.leftOut[kind] && leftOut != "" {
		g.log.Warn("a workload's message would outgrow what gRPC clients accept, and lacks something: let its entries federate with fewer domains, ask these for smaller bundles, or give the workload fewer identities",
			"spiffe_id", s.entries[0].SPIFFEID.String(), "bytes", MaxMessageBytes, "left_out", leftOut)
	}
	s.leftOut[kind] = leftOut
}
