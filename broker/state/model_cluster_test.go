package state_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// cluster is the part of the model that the nodes are.
type cluster struct {
	members map[string]state.Member
	removed map[string]state.Removed
	tokens  map[string]state.JoinToken
	duties  state.Duties
}

func newCluster() cluster {
	return cluster{map[string]state.Member{}, map[string]state.Removed{}, map[string]state.JoinToken{}, state.Duties{}}
}

func (m *model) named(name string) (id string) {
	for _, o := range m.members {
		if o.Name == name {
			return o.ID
		}
	}
	return ""
}

func (m *model) putMember(c state.PutMember) broker.Code {
	next := c.Member
	if _, out := m.removed[next.ID]; out {
		return broker.PermissionDenied
	}
	old, is := m.members[next.ID]
	switch holder := m.named(next.Name); {
	case !is && len(m.members) > 0:
		return broker.NotFound
	case is && next.Incarnation <= old.Incarnation:
		return broker.FailedPrecondition
	case holder != "" && holder != next.ID:
		return broker.AlreadyExists
	}
	next.JoinedAt = m.now
	if is {
		next.JoinedAt = old.JoinedAt
	}
	m.members[next.ID] = next
	return ""
}

func (m *model) putJoinToken(c state.PutJoinToken) broker.Code {
	t := c.Token
	if life := t.ExpiresAt.Sub(m.now); life <= 0 || life > state.MaxJoinTokenTTL {
		return broker.InvalidArgument
	}
	if _, exists := m.tokens[t.ID]; exists || m.named(t.Name) != "" {
		return broker.AlreadyExists
	}
	t.UsedBy, t.UsedAt = "", time.Time{}
	m.tokens[t.ID] = t
	return ""
}

func (m *model) admit(c state.AdmitMember) broker.Code {
	t, exists := m.tokens[c.Token]
	if !exists {
		return broker.NotFound
	}
	if _, out := m.removed[c.Member.ID]; out {
		return broker.PermissionDenied
	}
	if t.UsedBy == c.Member.ID {
		return ""
	}
	_, is := m.members[c.Member.ID]
	switch {
	case t.UsedBy != "" || !m.now.Before(t.ExpiresAt) || t.ExpiresAt.Sub(m.now) > state.MaxJoinTokenTTL:
		return broker.FailedPrecondition
	case t.Name != c.Member.Name:
		return broker.InvalidArgument
	case is || m.named(t.Name) != "":
		return broker.AlreadyExists
	}
	t.UsedBy, t.UsedAt = c.Member.ID, m.now
	m.tokens[c.Token] = t
	c.Member.JoinedAt = m.now
	m.members[c.Member.ID] = c.Member
	return ""
}

func (m *model) removeMember(c state.RemoveMember) broker.Code {
	member, is := m.members[c.ID]
	gone, out := m.removed[c.ID]
	switch {
	case out && c.Compromised && !gone.Compromised:
		gone.Compromised = true
		m.removed[c.ID] = gone
		return ""
	case !is:
		return broker.NotFound
	case len(m.members) == 1:
		return broker.FailedPrecondition
	}
	delete(m.members, c.ID)
	m.removed[c.ID] = state.Removed{ID: c.ID, Name: member.Name, At: m.now, Compromised: c.Compromised}
	var live []string
	for _, id := range m.duties.Live {
		if id != c.ID {
			live = append(live, id)
		}
	}
	if len(live) < len(m.duties.Live) {
		m.duties = state.Duties{Epoch: m.duties.Epoch + 1, Live: live}
	}
	return ""
}

func (m *model) putDuties(c state.PutDuties) broker.Code {
	if c.Duties.Epoch != m.duties.Epoch+1 {
		return broker.Aborted
	}
	for _, id := range c.Duties.Live {
		if _, is := m.members[id]; !is {
			return broker.InvalidArgument
		}
	}
	m.duties = c.Duties
	return ""
}

func (m *model) reseal(c state.Reseal) broker.Code {
	anew := map[string][]byte{}
	for _, k := range c.Keys {
		a, exists := m.authorities[k.Use.String()+k.ID]
		switch {
		case !exists:
			return broker.FailedPrecondition
		case a.Sealed == nil:
			return broker.InvalidArgument
		}
		anew[k.Use.String()+k.ID] = k.Sealed
	}
	for key, a := range m.authorities {
		if a.Status != ca.Old && anew[key] == nil {
			return broker.FailedPrecondition
		}
	}
	for key, sealed := range anew {
		a := m.authorities[key]
		a.Sealed = sealed
		m.authorities[key] = a
	}
	return ""
}

// describe adds what there is to what a view is compared with.
func (m cluster) describe(have, want map[string]any, v *state.View) {
	for o := range v.Members() {
		have["member "+o.ID] = o
	}
	for id, o := range m.members {
		want["member "+id] = o
	}
	for r := range v.RemovedMembers() {
		have["removed "+r.ID] = r
	}
	for id, r := range m.removed {
		want["removed "+id] = r
	}
	for t := range v.JoinTokens() {
		have["token "+t.ID] = t
	}
	for id, t := range m.tokens {
		want["token "+id] = t
	}
	have["epoch"], want["epoch"] = v.Duties().Epoch, m.duties.Epoch
	have["live"], want["live"] = len(v.Duties().Live), len(m.duties.Live)
	for _, id := range v.Duties().Live {
		have["live "+id] = true
	}
	for _, id := range m.duties.Live {
		want["live "+id] = true
	}
}

// clusterInvariants says which of the cluster's rules that hold always is broken.
func clusterInvariants(v, before *state.View) string {
	names := map[string]bool{}
	for m := range v.Members() {
		if _, out := v.Removed(m.ID); out {
			return m.Name + " is a member and was removed"
		}
		if was, is := before.Member(m.ID); is && was.Incarnation > m.Incarnation {
			return m.Name + " starts backwards"
		}
		if names[m.Name] {
			return "two members are called " + m.Name
		}
		names[m.Name] = true
	}
	for r := range before.RemovedMembers() {
		if _, out := v.Removed(r.ID); !out {
			return r.Name + " is forgotten"
		}
	}
	if before.MemberCount() > 0 && v.MemberCount() == 0 {
		return "there is no member left"
	}
	for _, id := range v.Duties().Live {
		if _, is := v.Member(id); !is {
			return id + " has duties and is no member"
		}
	}
	if then, now := before.Duties(), v.Duties(); now.Epoch < then.Epoch || now.Epoch == then.Epoch && !slices.Equal(now.Live, then.Live) {
		return "the duties changed without an epoch"
	}
	return ""
}

// maybe draws whether something that goes another way than usual does so.
func (h history) maybe(what string) bool { return rapid.IntRange(0, 3).Draw(h.t, what) == 0 }

func (h history) node(what string) int { return rapid.IntRange(1, 6).Draw(h.t, what) }

// clustering draws what nodes do.
func (h history) clustering() state.Command {
	switch pick(h, "step", "start", "start", "token", "token", "admit", "admit", "admit", "remove", "duties", "duties") {
	case "start":
		return h.start()
	case "token":
		n := h.node("token")
		c := joinToken(n, h.now.Add(pick(h, "life", 48*time.Hour, 48*time.Hour, 48*time.Hour, time.Hour, 0, state.MaxJoinTokenTTL+1)))
		c.Token.Name = nodeName(pick(h, "name", n, n, h.node("node")))
		return c
	case "admit":
		return h.admission()
	case "remove":
		return state.RemoveMember{ID: h.member().ID, Compromised: rapid.Bool().Draw(h.t, "compromised")}
	default:
		return h.shareOut()
	}
}

// member draws one, mostly of those that there are.
func (h history) member() state.Member {
	if all := slices.Collect(h.v.Members()); len(all) > 0 && !h.maybe("another node") {
		return rapid.SampledFrom(all).Draw(h.t, "member")
	}
	return member(h.node("node"))
}

func (h history) start() state.Command {
	m := h.member()
	if m.Incarnation += 1; h.maybe("an old copy") {
		m.Incarnation = rapid.Uint64Range(1, 3).Draw(h.t, "incarnation")
	}
	if h.maybe("renamed") {
		m.Name = nodeName(h.node("name"))
	}
	return state.PutMember{Member: m}
}

// admission draws a node that joins, mostly with a token that there is.
func (h history) admission() state.Command {
	c := admit(h.node("node"))
	if all := slices.Collect(h.v.JoinTokens()); len(all) > 0 && !h.maybe("another token") {
		t := rapid.SampledFrom(all).Draw(h.t, "token")
		if c.Token = t.ID; !h.maybe("another name") {
			c.Member.Name = t.Name
		}
	}
	return c
}

// shareOut draws duties, mostly for who is there.
func (h history) shareOut() state.Command {
	c := duties(h.v.Duties().Epoch + rapid.Uint64Range(1, 2).Draw(h.t, "epoch"))
	for m := range h.v.Members() {
		if !h.maybe("silent") {
			c.Duties.Live = append(c.Duties.Live, m.ID)
		}
	}
	if len(c.Duties.Live) == 0 {
		c.Duties.Live = []string{nodeID(h.node("on duty"))}
	}
	return c
}

// reseal draws authorities to seal again, mostly all.
func (h history) reseal() state.Command {
	var all []ca.Authority
	for _, a := range append(h.v.Authorities(ca.X509), h.v.Authorities(ca.JWT)...) {
		if (a.Sealed != nil || rapid.IntRange(0, 7).Draw(h.t, "not here") == 0) && rapid.IntRange(0, 9).Draw(h.t, "named") > 0 {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		all = initial()
	}
	return resealed(all...)
}
