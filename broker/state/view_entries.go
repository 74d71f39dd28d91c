package state

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

// nodeSelector is what the embedded agent of every node has. Whoever has it is
// meant by the built-in alias.
var nodeSelector = attest.Selector{Type: "concord", Value: "node"}

// EntriesWithID returns the entries that give the SPIFFE ID id, sorted by
// parent and selectors.
func (v *View) EntriesWithID(id spiffeid.ID) iter.Seq[*workload.Entry] {
	return v.lookup.claiming(&workload.Entry{SPIFFEID: id})
}

// EntriesUnder returns the entries whose parent is exactly parent, in no order
// that means anything.
func (v *View) EntriesUnder(parent spiffeid.ID) iter.Seq[*workload.Entry] {
	return v.lookup.under(&workload.Entry{ParentID: parent})
}

// EntryLike returns the entry with e's SPIFFE ID, parent and selectors, which
// keeps another such from being made; false if there is none. e's selectors
// are sorted.
func (v *View) EntryLike(e workload.Entry) (*workload.Entry, bool) {
	found := v.lookup.like(&e)
	return found, found != nil
}

// EntriesOf returns an agent's entries, sorted by ID: the descendants of its
// ID and of each alias whose selectors it has.
func (v *View) EntriesOf(agent Agent) []*workload.Entry {
	var all []*workload.Entry
	for parent := range v.ancestors(agent) {
		all = slices.AppendSeq(all, v.EntriesUnder(parent))
	}
	return sortEntries(all)
}

// EntriesFor returns, sorted by ID, those of EntriesOf(agent) whose selectors
// are all in selectors, which are sorted. It does not look at all of them. An
// entry that has ended is among them: the state has no clock.
func (v *View) EntriesFor(agent Agent, selectors []attest.Selector) []*workload.Entry {
	var all []*workload.Entry
	for parent := range v.ancestors(agent) {
		all = slices.AppendSeq(all, v.lookup.having(&workload.Entry{ParentID: parent}, selectors))
	}
	return sortEntries(all)
}

func sortEntries(all []*workload.Entry) []*workload.Entry {
	slices.SortFunc(all, func(a, b *workload.Entry) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// ancestors returns the IDs whose children are the agent's entries: its own,
// the aliases that it has, and of the entries below those the ones that have
// children themselves.
func (v *View) ancestors(agent Agent) map[spiffeid.ID]struct{} {
	all := make(map[spiffeid.ID]struct{})
	children := v.families(agent.ID.TrustDomain())
	next := append(v.aliases(agent), agent.ID)
	for len(next) > 0 {
		id := next[len(next)-1]
		next = next[:len(next)-1]
		if _, known := all[id]; known {
			continue
		}
		all[id] = struct{}{}
		next = append(next, children[id]...)
	}
	return all
}

// aliases returns the SPIFFE IDs that stand for several agents, this one among
// them: of entries under the server's ID whose selectors it has, and the
// built-in one.
func (v *View) aliases(agent Agent) []spiffeid.ID {
	td := agent.ID.TrustDomain()
	var all []spiffeid.ID
	if builtIn := workload.AgentAlias(td); slices.Contains(agent.Selectors, nodeSelector) ||
		strings.HasPrefix(agent.ID.String(), builtIn.String()+"/") {
		all = append(all, builtIn)
	}
	for e := range v.lookup.having(&workload.Entry{ParentID: workload.ServerID(td)}, agent.Selectors) {
		all = append(all, e.SPIFFEID)
	}
	return all
}

// families returns, of the IDs that entries give and that have children, under
// which parents they are given. Agents and servers are skipped: no entry gives
// their IDs, however many there are.
func (v *View) families(td spiffeid.TrustDomain) map[spiffeid.ID][]spiffeid.ID {
	all := make(map[spiffeid.ID][]spiffeid.ID)
	reserved := td.IDString() + "/spire/"
	for parent := v.lookup.parent(""); parent != ""; {
		if strings.HasPrefix(parent, reserved) {
			parent = v.lookup.parent(td.IDString() + "/spire0") // the byte after the slash
			continue
		}
		if id, err := spiffeid.FromString(parent); err == nil {
			for e := range v.EntriesWithID(id) {
				all[e.ParentID] = append(all[e.ParentID], id)
			}
		}
		parent = v.lookup.parent(parent + "\x00")
	}
	return all
}
