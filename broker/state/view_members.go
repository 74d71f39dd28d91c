package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/concord-id/concord/broker"
)

// NewestCommand is the highest number of a command that this version knows.
const NewestCommand = uint64(kindRenewKEK)

// Members returns the members of the cluster, sorted by ID.
func (v *View) Members() iter.Seq[Member] { return values(v.members.from("")) }

// MemberCount is how many members there are.
func (v *View) MemberCount() int { return v.members.count() }

// Member returns one member; false if there is none.
func (v *View) Member(id string) (Member, bool) { return deref(v.members.get(id)) }

// MemberNamed returns the member with a name; false if there is none.
func (v *View) MemberNamed(name string) (Member, bool) { return deref(v.memberNamed(name)) }

// Removed returns a node that was a member once; false if it was not, or is one.
func (v *View) Removed(id string) (Removed, bool) { return deref(v.removed.get(id)) }

// RemovedMembers returns the nodes that were members once, sorted by ID.
func (v *View) RemovedMembers() iter.Seq[Removed] { return values(v.removed.from("")) }

// JoinToken returns one join token; false if there is none.
func (v *View) JoinToken(id string) (JoinToken, bool) { return deref(v.joinTokens.get(id)) }

// JoinTokens returns the join tokens, used and expired ones too, sorted by ID.
func (v *View) JoinTokens() iter.Seq[JoinToken] { return values(v.joinTokens.from("")) }

// Duties returns who is alive; Epoch 0 before a leader said so.
func (v *View) Duties() Duties {
	duties, _ := deref(v.duties.get(""))
	return duties
}

// Knows refuses a command that the version of some member does not know: it would
// stop that member. What is recorded of the members says so.
func (v *View) Knows(c Command) error {
	var old []string
	for m := range v.members.from("") {
		if m.Commands < uint64(newestIn(c)) {
			old = append(old, m.Name+" ("+m.Version+")")
		}
	}
	if len(old) == 0 {
		return nil
	}
	slices.Sort(old)
	return broker.Refuse(broker.FailedPrecondition, "%s is not possible until every member runs a version that knows it: upgrade %s", c.kind(), strings.Join(old, ", "))
}

// newestIn is the command with which all that is in c came to be known: a field may
// be younger than its command, and a version without it would stop at it.
func newestIn(c Command) kind {
	switch c := c.(type) {
	case Reseal:
		if c.Removed != nil {
			return kindRenewKEK
		}
	case RemoveMember:
		if c.Force {
			return kindRenewKEK
		}
	}
	return c.kind()
}
