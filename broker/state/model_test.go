package state_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"pgregory.net/rapid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// model is the state as one would write it in an afternoon: maps, loops over
// everything, no index, no tree, no digest. What it says is what the rules say.
type model struct {
	now           time.Time
	settings      state.Settings
	past          time.Duration // the largest refresh hint that somebody may still act on
	pastUntil     time.Time
	authorities   map[string]ca.Authority
	entries       map[string]workload.Entry
	relationships map[string]federation.Relationship
	bundles       map[string][]byte
	agents        map[string]state.Agent
	sequence      uint64
	content       string
	cluster
}

func newModel(b state.Bootstrap, at time.Time) *model {
	m := &model{
		now: at, settings: b.Settings, authorities: map[string]ca.Authority{}, entries: map[string]workload.Entry{},
		relationships: map[string]federation.Relationship{}, bundles: map[string][]byte{}, agents: map[string]state.Agent{},
		cluster: newCluster(),
	}
	for _, a := range b.Authorities {
		a.PreparedAt, a.LargestHint = at, b.Settings.RefreshHint
		if a.Status == ca.Active {
			a.ActivatedAt = at
		}
		m.authorities[a.Use.String()+a.ID] = a
	}
	m.publish()
	return m
}

// publish gives our bundle a new sequence if it says something new.
func (m *model) publish() {
	var lines []string
	for _, a := range m.authorities {
		lines = append(lines, fmt.Sprintf("%s %x", a.ID, a.Public))
	}
	slices.Sort(lines)
	if content := strings.Join(lines, "\n") + m.settings.RefreshHint.String(); content != m.content {
		m.content = content
		m.sequence = max(m.sequence+1, uint64(m.now.Unix()))
	}
}

// apply returns why the command is refused, "" if it is not.
func (m *model) apply(c state.Command) broker.Code {
	switch c := c.(type) {
	case state.PutSettings:
		return m.putSettings(c)
	case state.PutEntry:
		return m.putEntry(c)
	case state.DeleteEntry:
		if _, ok := m.entries[c.ID]; !ok {
			return broker.NotFound
		}
		delete(m.entries, c.ID)
	case state.PutRelationship:
		return m.putRelationship(c)
	case state.DeleteRelationship:
		if _, ok := m.relationships[c.TrustDomain.Name()]; !ok {
			return broker.NotFound
		}
		delete(m.relationships, c.TrustDomain.Name())
		delete(m.bundles, c.TrustDomain.Name())
	case state.PutBundle:
		return m.putBundle(c)
	case state.DeleteBundle:
		return m.deleteBundle(c)
	case state.PutAgent:
		if old, ok := m.agents[c.Agent.ID.String()]; ok && old.Banned && !c.Agent.Banned {
			return broker.PermissionDenied
		}
		m.agents[c.Agent.ID.String()] = c.Agent
	case state.DeleteAgent:
		if _, ok := m.agents[c.ID.String()]; !ok {
			return broker.NotFound
		}
		delete(m.agents, c.ID.String())
	case state.PrepareAuthority:
		return m.prepare(c)
	case state.AppendAuthority:
		return m.append(c)
	case state.ActivateAuthority:
		return m.activate(c)
	case state.TaintAuthority:
		a, ok := m.authorities[c.Use.String()+c.ID]
		switch {
		case !ok:
			return broker.NotFound
		case a.Status == ca.Active:
			return broker.InvalidArgument
		case a.Tainted:
			return broker.FailedPrecondition
		}
		a.Tainted = true
		m.authorities[c.Use.String()+c.ID] = a
	case state.RemoveAuthority:
		return m.remove(c)
	case state.PutMember:
		return m.putMember(c)
	case state.PutJoinToken:
		return m.putJoinToken(c)
	case state.AdmitMember:
		return m.admit(c)
	case state.RemoveMember:
		return m.removeMember(c)
	case state.PutDuties:
		return m.putDuties(c)
	case state.Reseal:
		return m.reseal(c)
	}
	return ""
}

func (m *model) putSettings(c state.PutSettings) broker.Code {
	if c.Settings == m.settings {
		return ""
	}
	if !m.pastUntil.After(m.now) {
		m.past, m.pastUntil = 0, time.Time{}
	}
	if last := m.now.Add(m.settings.RefreshHint); last.After(m.pastUntil) {
		m.pastUntil = last
	}
	m.past = max(m.past, m.settings.RefreshHint)
	m.settings = c.Settings
	for key, a := range m.authorities {
		if a.Status == ca.Prepared {
			a.LargestHint = max(a.LargestHint, c.Settings.RefreshHint)
			m.authorities[key] = a
		}
	}
	m.publish()
	return ""
}

func (m *model) putEntry(c state.PutEntry) broker.Code {
	e := c.Entry
	if e.SPIFFEID.TrustDomain() != acme || e.ParentID.TrustDomain() != acme {
		return broker.InvalidArgument
	}
	old, exists := m.entries[e.ID]
	switch {
	case c.IfRevision == nil && exists:
		return broker.AlreadyExists
	case c.IfRevision != nil && !exists:
		return broker.NotFound
	case c.IfRevision != nil && *c.IfRevision != old.Revision:
		return broker.Aborted
	}
	for _, other := range m.entries {
		if other.ID != e.ID && other.SPIFFEID == e.SPIFFEID && other.ParentID == e.ParentID && slices.Equal(other.Selectors, e.Selectors) {
			return broker.AlreadyExists
		}
	}
	e.CreatedAt, e.Revision = m.now, 0
	if exists {
		e.CreatedAt, e.Revision = old.CreatedAt, old.Revision
		if !reflect.DeepEqual(e, old) {
			e.Revision++
		}
	}
	m.entries[e.ID] = e
	return ""
}

func (m *model) putRelationship(c state.PutRelationship) broker.Code {
	r := c.Relationship
	old, exists := m.relationships[r.TrustDomain.Name()]
	switch {
	case r.TrustDomain == acme:
		return broker.InvalidArgument
	case c.IfRevision == nil && exists:
		return broker.AlreadyExists
	case c.IfRevision != nil && !exists:
		return broker.NotFound
	case c.IfRevision != nil && *c.IfRevision != old.Revision:
		return broker.Aborted
	}
	r.CreatedAt, r.Revision = m.now, 0
	if exists {
		r.CreatedAt, r.Revision = old.CreatedAt, old.Revision
		if !reflect.DeepEqual(r, old) {
			r.Revision++
		}
	}
	m.relationships[r.TrustDomain.Name()] = r
	return ""
}

func (m *model) putBundle(c state.PutBundle) broker.Code {
	td := c.TrustDomain.Name()
	if c.TrustDomain == acme {
		return broker.InvalidArgument
	}
	if _, ok := m.relationships[td]; c.Origin == state.OriginFetch && !ok {
		return broker.FailedPrecondition
	}
	old, exists := m.bundles[td]
	if !c.Any {
		switch {
		case !exists && c.IfDocument != [32]byte{}:
			return broker.Aborted
		case exists && c.IfDocument == [32]byte{}:
			return broker.AlreadyExists
		case exists && c.IfDocument != sha256.Sum256(old):
			return broker.Aborted
		}
	}
	if exists && bytes.Equal(old, c.Document) {
		return ""
	}
	next := parsed(c.TrustDomain, c.Document)
	if exists && c.Origin == state.OriginFetch && next.Sequence < parsed(c.TrustDomain, old).Sequence {
		return broker.FailedPrecondition
	}
	for hash := range keysOf(next) {
		for owner := range m.owners(hash) {
			if owner != td {
				return broker.FailedPrecondition
			}
		}
	}
	m.bundles[td] = c.Document
	return ""
}

// readings keeps what was parsed and hashed before: histories meet the same
// few documents over and over.
var readings, hashings sync.Map

func parsed(td spiffeid.TrustDomain, document []byte) *federation.Bundle {
	if known, ok := readings.Load(td.Name() + string(document)); ok {
		return known.(*federation.Bundle)
	}
	b, _, err := federation.Parse(td, document)
	if err != nil {
		panic(err)
	}
	readings.Store(td.Name()+string(document), b)
	return b
}

func keysOf(b *federation.Bundle) map[federation.KeyHash]bool {
	if known, ok := hashings.Load(b); ok {
		return known.(map[federation.KeyHash]bool)
	}
	all := map[federation.KeyHash]bool{}
	defer hashings.Store(b, all)
	for _, cert := range b.X509 {
		hash, _ := federation.HashKey(cert.PublicKey)
		all[hash] = true
	}
	for _, a := range b.JWT {
		hash, _ := federation.HashKey(a.Key)
		all[hash] = true
	}
	return all
}

// owners returns the domains whose bundle has a key.
func (m *model) owners(hash federation.KeyHash) map[string]bool {
	all := map[string]bool{}
	for name, document := range m.bundles {
		if keysOf(parsed(spiffeid.RequireTrustDomainFromString(name), document))[hash] {
			all[name] = true
		}
	}
	for _, a := range m.authorities {
		if authorityHash(a) == hash {
			all[acme.Name()] = true
		}
	}
	return all
}

func authorityHash(a ca.Authority) federation.KeyHash {
	if known, ok := hashings.Load(string(a.Public)); ok {
		return known.(federation.KeyHash)
	}
	key, err := a.PublicKey()
	if err != nil {
		panic(err)
	}
	hash, err := federation.HashKey(key)
	if err != nil {
		panic(err)
	}
	hashings.Store(string(a.Public), hash)
	return hash
}

func (m *model) deleteBundle(c state.DeleteBundle) broker.Code {
	td := c.TrustDomain
	if td == acme {
		return broker.InvalidArgument
	}
	if _, ok := m.bundles[td.Name()]; !ok {
		return broker.NotFound
	}
	federated := map[string]workload.Entry{}
	for id, e := range m.entries {
		if slices.Contains(e.FederatesWith, td) {
			federated[id] = e
		}
	}
	if c.Mode == state.Restrict && len(federated) > 0 {
		return broker.FailedPrecondition
	}
	for id, e := range federated {
		if c.Mode == state.DeleteThem {
			delete(m.entries, id)
			continue
		}
		var rest []spiffeid.TrustDomain
		for _, o := range e.FederatesWith {
			if o != td {
				rest = append(rest, o)
			}
		}
		e.FederatesWith = rest
		e.Revision++
		m.entries[id] = e
	}
	delete(m.bundles, td.Name())
	return ""
}

func (m *model) of(use ca.Use) []ca.Authority {
	var all []ca.Authority
	for _, a := range m.authorities {
		if a.Use == use {
			all = append(all, a)
		}
	}
	return all
}

func (m *model) prepare(c state.PrepareAuthority) broker.Code {
	a := c.Authority
	if !m.now.Before(a.NotAfter) {
		return broker.InvalidArgument
	}
	if _, exists := m.authorities[a.Use.String()+a.ID]; exists {
		return broker.AlreadyExists
	}
	for _, o := range m.of(a.Use) {
		if o.Status == ca.Prepared {
			return broker.FailedPrecondition
		}
	}
	if len(m.of(a.Use)) >= state.MaxAuthoritiesPerUse {
		return broker.ResourceExhausted
	}
	for owner := range m.owners(authorityHash(a)) {
		if owner == acme.Name() {
			return broker.AlreadyExists
		}
		return broker.FailedPrecondition
	}
	a.Status, a.Tainted, a.PreparedAt, a.LargestHint = ca.Prepared, false, m.now, m.settings.RefreshHint
	if m.pastUntil.After(m.now) {
		a.LargestHint = max(a.LargestHint, m.past)
	}
	m.authorities[a.Use.String()+a.ID] = a
	m.publish()
	return ""
}

func (m *model) append(c state.AppendAuthority) broker.Code {
	a := ca.Authority{
		Use: c.Use, ID: c.ID, Public: c.Public, Status: ca.Old, KeyType: ca.P256,
		NotBefore: m.now, PreparedAt: m.now, OldAt: m.now, VouchesUntil: c.NotAfter, NotAfter: c.NotAfter,
	}
	if have, exists := m.authorities[a.Use.String()+a.ID]; exists {
		if bytes.Equal(have.Public, a.Public) {
			return ""
		}
		return broker.AlreadyExists
	}
	switch {
	case !m.now.Before(a.NotAfter):
		return broker.InvalidArgument
	case len(m.of(a.Use)) >= state.MaxAuthoritiesPerUse:
		return broker.ResourceExhausted
	}
	for owner := range m.owners(authorityHash(a)) {
		if owner == acme.Name() {
			return broker.AlreadyExists
		}
		return broker.FailedPrecondition
	}
	m.authorities[a.Use.String()+a.ID] = a
	m.publish()
	return ""
}

func (m *model) activate(c state.ActivateAuthority) broker.Code {
	next, ok := m.authorities[c.Use.String()+c.ID]
	if !ok {
		return broker.NotFound
	}
	window := m.settings.PublicationWindow
	if window < 0 {
		window = 3 * next.LargestHint
	}
	if next.Status != ca.Prepared || next.Tainted || !m.now.Before(next.NotAfter) || m.now.Before(next.NotBefore) ||
		!c.Force && m.now.Sub(next.PreparedAt) < window {
		return broker.FailedPrecondition
	}
	for _, o := range m.of(c.Use) {
		if o.Status == ca.Active {
			o.Status, o.OldAt, o.VouchesUntil = ca.Old, m.now, m.now.Add(c.VouchFor)
			if o.VouchesUntil.After(o.NotAfter) {
				o.VouchesUntil = o.NotAfter
			}
			m.authorities[c.Use.String()+o.ID] = o
		}
	}
	next.Status, next.ActivatedAt = ca.Active, m.now
	m.authorities[c.Use.String()+c.ID] = next
	return ""
}

func (m *model) remove(c state.RemoveAuthority) broker.Code {
	a, ok := m.authorities[c.Use.String()+c.ID]
	switch {
	case !ok:
		return broker.NotFound
	case a.Status == ca.Active:
		return broker.InvalidArgument
	case !m.now.Before(a.NotAfter):
	case a.Status == ca.Old && (c.Revoke || !m.now.Before(a.VouchesUntil)):
	case a.Status == ca.Prepared && c.Revoke && a.Tainted:
	default:
		return broker.FailedPrecondition
	}
	delete(m.authorities, c.Use.String()+c.ID)
	m.publish()
	return ""
}

// entriesFor finds a workload's entries by walking up from every entry there is.
func (m *model) entriesFor(agent state.Agent, have []attest.Selector) []string {
	var all []string
	for id, e := range m.entries {
		if attest.Subset(e.Selectors, have) && m.below(e.ParentID, agent, nil) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

func (m *model) below(parent spiffeid.ID, agent state.Agent, seen []spiffeid.ID) bool {
	if parent == agent.ID || parent == id("/spire/agent/concord") && strings.HasPrefix(agent.ID.Path(), "/spire/agent/concord/") {
		return true
	}
	if slices.Contains(seen, parent) {
		return false
	}
	for _, e := range m.entries {
		if e.SPIFFEID == parent && (m.below(e.ParentID, agent, append(seen, parent)) ||
			e.ParentID == id("/spire/server") && attest.Subset(e.Selectors, agent.Selectors)) {
			return true
		}
	}
	return false
}

// compare says where a view and the model differ.
func (m *model) compare(v *state.View) string {
	have, want := map[string]any{}, map[string]any{}
	for e := range v.Entries() {
		have["entry "+e.ID] = *e
	}
	for id, e := range m.entries {
		want["entry "+id] = e
	}
	for r := range v.Relationships() {
		have["relationship "+r.TrustDomain.Name()] = r
	}
	for td, r := range m.relationships {
		want["relationship "+td] = r
	}
	for p := range v.Bundles() {
		have["bundle "+p.Bundle.TrustDomain.Name()] = string(p.Document)
	}
	for td, document := range m.bundles {
		want["bundle "+td] = string(document)
	}
	for a := range v.Agents() {
		have["agent "+a.ID.String()] = a
	}
	for id, a := range m.agents {
		want["agent "+id] = a
	}
	for _, a := range append(v.Authorities(ca.X509), v.Authorities(ca.JWT)...) {
		have["authority "+a.Use.String()+a.ID] = a
	}
	for key, a := range m.authorities {
		want["authority "+key] = a
	}
	m.describe(have, want, v)
	have["sequence"], want["sequence"] = v.Own().Bundle.Sequence, m.sequence
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(have[key], want[key]) {
			return fmt.Sprintf("%s is\n%+v\nnot\n%+v", key, have[key], want[key])
		}
	}
	if len(have) != len(want) {
		return fmt.Sprintf("there are %v, not %v", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
	}
	return ""
}

// invariants says which of the rules that hold always is broken.
func invariants(v *state.View, before *federation.Published) string {
	own := v.Own()
	if own.Bundle.Sequence < before.Bundle.Sequence || (own.Bundle.Sequence == before.Bundle.Sequence) != bytes.Equal(own.Document, before.Document) {
		return fmt.Sprintf("sequence %d with %s came after %d with %s", own.Bundle.Sequence, own.ETag, before.Bundle.Sequence, before.ETag)
	}
	published := keysOf(own.Bundle)
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		stages := map[ca.Status]int{}
		for _, a := range v.Authorities(use) {
			stages[a.Status]++
			if !published[authorityHash(a)] {
				return fmt.Sprintf("%s authority %s is not in our bundle", use, a.ID)
			}
		}
		if stages[ca.Active] != 1 || stages[ca.Prepared] > 1 {
			return fmt.Sprintf("%s authorities are %v", use, stages)
		}
	}
	if n := len(own.Bundle.X509) + len(own.Bundle.JWT); n != len(v.Authorities(ca.X509))+len(v.Authorities(ca.JWT)) {
		return fmt.Sprintf("our bundle has %d keys", n)
	}
	owners := map[federation.KeyHash]string{}
	for hash := range published {
		owners[hash] = "ours"
	}
	for p := range v.Bundles() {
		for hash := range keysOf(p.Bundle) {
			if other, held := owners[hash]; held {
				return fmt.Sprintf("a key of %s is %s too", p.Bundle.TrustDomain, other)
			}
			owners[hash] = p.Bundle.TrustDomain.Name()
		}
	}
	return ""
}

// history draws commands from few IDs, keys and domains, so that they meet.
type history struct {
	t   *rapid.T
	v   *state.View // as the proposer saw it, perhaps a while ago
	now time.Time
}

func pick[T any](h history, what string, from ...T) T { return rapid.SampledFrom(from).Draw(h.t, what) }

func (h history) subset(what string, from ...string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, 3, rapid.ID).Draw(h.t, what)
}

func (h history) domain() spiffeid.TrustDomain {
	return pick(h, "domain", bank, bank, shop, shop, acme)
}

func (h history) command() state.Command {
	switch rapid.IntRange(0, 25).Draw(h.t, "command") {
	case 0:
		s := state.DefaultSettings()
		s.RefreshHint = pick(h, "hint", time.Second, time.Minute, time.Hour)
		s.PublicationWindow = pick(h, "window", -1, -1, 0, time.Minute)
		return state.PutSettings{Settings: s}
	case 1, 2, 3, 4, 5, 6:
		return h.entry()
	case 7:
		return state.DeleteEntry{ID: pick(h, "entry", "a", "b", "c", "d", "e", "f")}
	case 8:
		r := relationship(h.domain())
		r.URL = pick(h, "url", "https://one.example/", "https://two.example/")
		return state.PutRelationship{Relationship: r, IfRevision: pick(h, "revision", nil, nil, revision(0), revision(1))}
	case 9:
		return state.DeleteRelationship{TrustDomain: h.domain()}
	case 10, 11, 12:
		return h.bundle()
	case 13:
		return state.DeleteBundle{TrustDomain: h.domain(), Mode: pick(h, "mode", state.Restrict, state.DeleteThem, state.Dissociate)}
	case 14:
		a := state.Agent{ID: h.agent().ID, Method: "m", Banned: rapid.Bool().Draw(h.t, "banned"), Version: pick(h, "version", "1", "2")}
		return state.PutAgent{Agent: a}
	case 15:
		return state.DeleteAgent{ID: h.agent().ID}
	case 16, 17, 18, 19, 20, 21:
		return h.clustering()
	case 22:
		return h.reseal()
	default:
		return h.authority()
	}
}

func (h history) entry() state.Command {
	e := entry(pick(h, "entry", "a", "b", "c", "d", "e", "f"), pick(h, "path", "/x", "/y", "/z"),
		h.subset("selectors", "unix:uid:1", "unix:gid:1", "unix:path:/a", "k8s:zone:a")...)
	e.ParentID = pick(h, "parent", id("/spire/agent/concord"), id("/spire/agent/k8s/1"), id("/spire/server"), id("/x"), id("/y"), id("/z"))
	e.FederatesWith = pick(h, "federates", nil, []spiffeid.TrustDomain{bank}, []spiffeid.TrustDomain{bank, shop})
	e.Hint = pick(h, "hint", "", "h")
	if rapid.IntRange(0, 19).Draw(h.t, "foreign") == 0 {
		e.SPIFFEID, e.ParentID = spiffeid.RequireFromPath(bank, "/x"), spiffeid.RequireFromPath(bank, "/y")
	}
	return state.PutEntry{Entry: e, IfRevision: pick(h, "revision", nil, nil, revision(0), revision(1))}
}

func (h history) agent() state.Agent {
	return pick(h, "agent",
		state.Agent{ID: id("/spire/agent/concord/n1"), Selectors: selectors("concord:node")},
		state.Agent{ID: id("/spire/agent/k8s/1"), Selectors: selectors("k8s:zone:a", "unix:uid:1")})
}

func (h history) bundle() state.Command {
	td := h.domain()
	roots := rapid.SliceOfNDistinct(rapid.SampledFrom([]int{1, 3, 10, 11, 12}), 0, 2, rapid.ID).Draw(h.t, "roots")
	jwts := rapid.SliceOfNDistinct(rapid.SampledFrom([]int{2, 10, 13}), 0, 2, rapid.ID).Draw(h.t, "jwts")
	p := bundle(td, rapid.Uint64Range(1, 4).Draw(h.t, "sequence"), roots, jwts)
	if rapid.IntRange(0, 2).Draw(h.t, "operator") == 0 {
		return operator(p)
	}
	return fetched(p, h.v.Foreign(td))
}

func (h history) authority() state.Command {
	use, name := ca.X509, ""
	if rapid.Bool().Draw(h.t, "jwt") {
		use = ca.JWT
	}
	n := rapid.SampledFrom([]int{1, 2, 3, 4, 10, 13, 14, 15}).Draw(h.t, "key")
	next := root(acme, n, ca.Prepared)
	if use == ca.JWT {
		next = jwtKey(n, ca.Prepared)
	}
	if all := h.v.Authorities(use); rapid.Bool().Draw(h.t, "known") {
		name = all[rapid.IntRange(0, len(all)-1).Draw(h.t, "which")].ID
	} else {
		name = next.ID
	}
	switch pick(h, "step", "prepare", "append", "activate", "activate", "taint", "remove") {
	case "prepare":
		return state.PrepareAuthority{Authority: next}
	case "append":
		return appended(next)
	case "activate":
		return state.ActivateAuthority{Use: use, ID: name, Force: rapid.IntRange(0, 3).Draw(h.t, "force") == 0, VouchFor: pick(h, "vouch", 0, time.Hour, lifetime)}
	case "taint":
		return state.TaintAuthority{Use: use, ID: name}
	default:
		return state.RemoveAuthority{Use: use, ID: name, Revoke: rapid.Bool().Draw(h.t, "revoke")}
	}
}

// TestRandomHistories holds the state against the model after every command,
// and the log against snapshots taken anywhere in it.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := founded(t)
		m := newModel(bootstrap(), epoch)
		if rapid.Bool().Draw(t, "cluster") {
			for _, c := range []state.Command{started(1, 1), joinToken(2, epoch.Add(time.Hour)), admit(2), duties(1, 1, 2)} {
				w.do(c)
				m.apply(c)
			}
		}
		var saved []byte
		savedAt := uint64(0)
		seen, records := w.machine.View(), w.records()
		for range rapid.IntRange(1, 40).Draw(t, "length") {
			w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour, -time.Hour, 24 * time.Hour, lifetime / 3}).Draw(t, "later"))
			m.now = w.now
			if rapid.IntRange(0, 3).Draw(t, "look") > 0 {
				seen = w.machine.View()
			}
			if rapid.IntRange(0, 9).Draw(t, "save") == 0 {
				saved, savedAt = snapshot(t, w.machine.View()), w.index
			}
			c := history{t, seen, w.now}.command()
			was := w.machine.View()
			before := was.Own()
			act := w.act()
			if rapid.Bool().Draw(t, "request") { // remembered for an hour, and then forgotten everywhere at once
				act.RequestID = fmt.Sprint("r", w.index)
			}
			applied := w.applyAs(act, c)
			want := m.apply(c)
			if have := refusalCode(applied); have != want {
				t.Fatalf("%T %+v: refused as %q (%v), the model says %q", c, c, have, applied.Refusal, want)
			}
			now := w.records()
			if (now != records) != !applied.Change.Empty() {
				t.Fatalf("%T %+v: the change is %+v", c, c, applied.Change)
			}
			records = now
			if differs := m.compare(w.machine.View()); differs != "" {
				t.Fatalf("after %T %+v: %s", c, c, differs)
			}
			if broken := invariants(w.machine.View(), before); broken != "" {
				t.Fatalf("after %T %+v: %s", c, c, broken)
			}
			if broken := clusterInvariants(w.machine.View(), was); broken != "" {
				t.Fatalf("after %T %+v: %s", c, c, broken)
			}
			agent := history{t, seen, w.now}.agent()
			have := selectors(history{t, seen, w.now}.subset("have", "unix:uid:1", "unix:gid:1", "unix:path:/a", "k8s:zone:a")...)
			if got, want := names(w.machine.View().EntriesFor(agent, have)), m.entriesFor(agent, have); !slices.Equal(got, want) {
				t.Fatalf("after %T %+v: agent %s has for %v the entries %v, not %v", c, c, agent.ID, have, got, want)
			}
		}
		sameEverywhere(t, w, saved, savedAt)
	})
}

func refusalCode(a state.Applied) broker.Code {
	if a.Refusal == nil {
		return ""
	}
	return a.Refusal.Code
}

// sameEverywhere reads the log again, whole and from the snapshot.
func sameEverywhere(t fataler, w *world, saved []byte, savedAt uint64) {
	t.Helper()
	full, tail := state.NewMachine(), state.NewMachine()
	if saved != nil {
		if err := tail.Restore(bytes.NewReader(saved)); err != nil {
			t.Fatalf("restore: %v", err)
		}
	}
	for i, encoded := range w.log {
		index := uint64(i + 1)
		if _, err := full.Apply(index, encoded); err != nil {
			t.Fatalf("apply %d again: %v", index, err)
		}
		if saved != nil && index <= savedAt {
			continue
		}
		if _, err := tail.Apply(index, encoded); err != nil {
			t.Fatalf("apply %d after a snapshot: %v", index, err)
		}
	}
	want, view := snapshot(t, w.machine.View()), w.machine.View()
	for name, m := range map[string]*state.Machine{"the whole log": full, "a snapshot and the rest of the log": tail} {
		if m.View().Digest() != view.Digest() || m.View().AuditHead() != view.AuditHead() || !bytes.Equal(snapshot(t, m.View()), want) {
			t.Fatalf("%s gives another state", name)
		}
	}
}

func TestOneLogHasOneHash(t *testing.T) {
	w := lived(t)
	for range 20 { // map iteration differs each time
		sameEverywhere(t, w, nil, 0)
	}
}
