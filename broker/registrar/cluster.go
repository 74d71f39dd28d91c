package registrar

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Cluster is what this node can do with the other members.
type Cluster interface {
	// Members asks every member how it is, for a second at most.
	Members(ctx context.Context) []MemberStatus
	// NewJoinToken makes a token for a node of this name; nothing knows it yet.
	NewJoinToken(name string, until time.Time) (text string, token state.JoinToken, err error)
	// Transfer has another member lead; to is its ID, "" for any that votes.
	Transfer(ctx context.Context, to string) error
	// Rekeyable says why another key-encryption key cannot take the place of that of
	// now; nil if it can. It asks the other members.
	Rekeyable(ctx context.Context) error
	// Backup writes a backup of view.
	Backup(view *state.View, w io.Writer) error
}

// ClusterMember is a node of the cluster.
type ClusterMember = state.Member

// MemberStatus is a member, as the state knows it and as it answers now.
type MemberStatus struct {
	state.Member
	Voter   bool // its vote counts
	Answers bool // it answered just now: what follows is what it said
	Error   string

	Leading   bool
	Ready     bool
	Reasons   []string
	Applied   uint64 // newest log index that its state has
	LastIndex uint64 // newest entry on its disk
	Digest    string // of its state at Applied, in hex
	Staleness time.Duration
	Heard     bool
	Offset    time.Duration // its clock less this node's
	Polls     int           // peers that it follows
	DiskFree  uint64        // bytes
	DiskSize  uint64

	KEK         string // the ID of the key-encryption key with which it seals; "" if it seals nothing
	KEKProvided bool   // by its environment, not in a file of its own
	KeyCare     string // if it leads: why it has not done yet what the keys need; "": nothing waits
}

// ClusterStatus is how the cluster is, seen from this node.
type ClusterStatus struct {
	Members   []MemberStatus // in the order of their names
	Node      string         // this one's ID
	Index     uint64         // newest log index that this node has applied
	Epoch     uint64         // of the duties; 0: none were given yet
	Live      []string       // IDs of the members among which work is shared
	Tolerates int            // how many more voters may be lost now without losing the majority; negative: it is lost
	Keys      KeyCare
}

// Clustered asks every member how it is.
func (r *Registrar) Clustered(ctx context.Context, who broker.Caller) (ClusterStatus, error) {
	view, err := r.read(ctx, who, "read how the cluster is")
	if err != nil {
		return ClusterStatus{}, err
	}
	duties := view.Duties()
	s := ClusterStatus{Members: r.parts.Cluster.Members(ctx), Node: r.parts.Node().ID, Index: view.Index(), Epoch: duties.Epoch, Live: duties.Live}
	voters, up := 0, 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
			if m.Answers {
				up++
			}
		}
	}
	s.Tolerates = up - (voters/2 + 1)
	s.Keys = keyCare(view, s.Members)
	return s, nil
}

// JoinTokenTTL is how long a join token is good if nobody says otherwise, and
// maxJoinTokenTTL the longest.
const (
	JoinTokenTTL    = 10 * time.Minute
	maxJoinTokenTTL = 24 * time.Hour
)

// NewToken asks for a join token.
type NewToken struct {
	Name   string        // of the node that may join
	TTL    time.Duration // 0: JoinTokenTTL
	DryRun bool          // makes no token: Text is ""
}

// JoinToken is a join token; whoever has Text can make one node a member.
type JoinToken struct {
	state.JoinToken
	Text string
}

// CreateJoinToken makes a token with which one node joins.
func (r *Registrar) CreateJoinToken(ctx context.Context, who broker.Caller, in NewToken) (Outcome[JoinToken], error) {
	out := Outcome[JoinToken]{DryRun: in.DryRun}
	if err := may(who, "let nodes join", broker.RoleAdmin); err != nil {
		return out, err
	}
	if in.TTL == 0 {
		in.TTL = JoinTokenTTL
	}
	if in.TTL < time.Second || in.TTL > maxJoinTokenTTL {
		return out, broker.Refuse(broker.InvalidArgument, "a join token is good for 1s to %s, not for %s", maxJoinTokenTTL, in.TTL)
	}
	act, err := act(who, "create join token", in.Name, in.TTL)
	if err != nil {
		return out, err
	}
	text, token, err := r.parts.Cluster.NewJoinToken(in.Name, act.At.Add(in.TTL))
	if err != nil {
		return out, err
	}
	view, index, err := r.carryOut(ctx, act, state.PutJoinToken{Token: token}, in.DryRun)
	out.Index = index
	if err != nil {
		return out, err
	}
	if _, made := view.JoinToken(token.ID); !made {
		return out, broker.Refuse(broker.AlreadyExists, "this request has made a join token already, and a token is shown once: ask for another with another request ID")
	}
	if in.DryRun {
		text, token.ID = "", ""
	}
	out.After = &JoinToken{token, text}
	return out, nil
}

// RemoveMember asks for a member to be taken out.
type RemoveMember struct {
	Member      string // its name or ID
	Compromised bool   // its key, or what it kept, may be in other hands
	// Force has what a compromised member could open replaced at once: who has not
	// fetched our bundle since refuses the SVIDs that are signed from then on.
	Force  bool
	DryRun bool
}

// RemoveMember takes a member out of the cluster for ever. NotFound if there is
// none. That the key-encryption key changes then, and the authorities if it is
// compromised, is the leader's to see to; Warning says what stands in the way.
func (r *Registrar) RemoveMember(ctx context.Context, who broker.Caller, in RemoveMember) (Outcome[ClusterMember], error) {
	out := Outcome[ClusterMember]{DryRun: in.DryRun}
	if err := may(who, "remove members", broker.RoleAdmin); err != nil {
		return out, err
	}
	if err := invalid(state.RemoveMember{ID: strings.Repeat("0", 64), Compromised: in.Compromised, Force: in.Force}.Validate()); err != nil {
		return out, err
	}
	act, err := act(who, "remove member", in.Member, in.Compromised, in.Force)
	if err != nil {
		return out, err
	}
	member, err := confirmed(ctx, r, func() (state.Member, error) { return memberToRemove(r.parts.Ledger.View(), in.Member) })
	if err != nil {
		return out, err
	}
	out.Before = &member
	_, out.Index, err = r.carryOut(ctx, act, state.RemoveMember{ID: member.ID, Compromised: in.Compromised, Force: in.Force}, in.DryRun)
	if err != nil {
		return out, err
	}
	if stuck := r.parts.Cluster.Rekeyable(ctx); stuck != nil {
		out.Warning = "what " + member.Name + " knows still opens the authorities' keys: " + stuck.Error()
	}
	return out, nil
}

// memberCalled returns the member with a name or an ID.
func memberCalled(view *state.View, name string) (state.Member, error) {
	if m, ok := view.Member(name); ok {
		return m, nil
	}
	if m, ok := view.MemberNamed(name); ok {
		return m, nil
	}
	return state.Member{}, broker.Refuse(broker.NotFound, "there is no member called %.80q: concord cluster status shows all", name)
}

// memberToRemove is also one that was removed: a retry must reach the log, which
// knows whether it is one.
func memberToRemove(view *state.View, name string) (state.Member, error) {
	member, err := memberCalled(view, name)
	if err == nil {
		return member, nil
	}
	newest := state.Removed{}
	for gone := range view.RemovedMembers() {
		if (gone.ID == name || gone.Name == name) && !gone.At.Before(newest.At) {
			newest = gone
		}
	}
	if newest.ID == "" {
		return state.Member{}, err
	}
	return state.Member{ID: newest.ID, Name: newest.Name}, nil
}

// TransferLeadership has another member lead: to is its name or ID, "" for any
// that votes. Before and After are the leaders' names; its index is 0, because
// who leads is not in the log.
func (r *Registrar) TransferLeadership(ctx context.Context, who broker.Caller, to string, dryRun bool) (Outcome[string], error) {
	out := Outcome[string]{DryRun: dryRun}
	if err := may(who, "say who leads", broker.RoleAdmin); err != nil {
		return out, err
	}
	before := r.parts.Node().Leader
	out.Before, out.After = &before, &to
	id := ""
	if to != "" {
		member, err := confirmed(ctx, r, func() (state.Member, error) { return memberCalled(r.parts.Ledger.View(), to) })
		if err != nil {
			return out, err
		}
		id, to = member.ID, member.Name
	}
	if dryRun {
		return out, nil
	}
	if err := r.parts.Cluster.Transfer(ctx, id); err != nil {
		if broker.CodeOf(err) != "" {
			return out, err
		}
		return out, broker.Refuse(broker.Unavailable, "%v", err)
	}
	to = r.parts.Node().Leader
	r.parts.Log.WarnContext(ctx, "another member leads because it was asked for", "actor", who.Name, "cause", who.Cause, "before", before, "after", to)
	return out, nil
}
