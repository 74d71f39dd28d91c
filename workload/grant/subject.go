package grant

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
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
