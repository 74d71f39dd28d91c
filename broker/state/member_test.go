package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func nodeID(n int) string { return fmt.Sprintf("%064x", n) }

func nodeName(n int) string { return fmt.Sprint("n", n) }

// member is the record of node n at its first start.
func member(n int) state.Member {
	return state.Member{
		ID: nodeID(n), Name: nodeName(n), Address: fmt.Sprintf("10.0.0.%d:8300", n), Incarnation: 1,
		Version: "1.0", Commands: state.NewestCommand, Settings: [32]byte{byte(n)},
	}
}

// started is member n at another start.
func started(n int, incarnation uint64) state.PutMember {
	m := member(n)
	m.Incarnation = incarnation
	return state.PutMember{Member: m}
}

func tokenID(n int) string { return fmt.Sprintf("%064x", 0xa000000+n) }

// joinToken is token n, for node n, good until then.
func joinToken(n int, until time.Time) state.PutJoinToken {
	return state.PutJoinToken{Token: state.JoinToken{ID: tokenID(n), Name: nodeName(n), ExpiresAt: until}}
}

// admit is the command by which node n joins with token n.
func admit(n int) state.AdmitMember {
	m := member(n)
	m.Incarnation = 0
	return state.AdmitMember{Token: tokenID(n), Member: m}
}

// clustered is a world with a domain and the members 1 to n.
func clustered(t fataler, n int) *world {
	t.Helper()
	w := founded(t)
	w.do(started(1, 1))
	for i := 2; i <= n; i++ {
		w.do(joinToken(i, w.now.Add(time.Minute)))
		w.do(admit(i))
	}
	return w
}

func memberNames(v *state.View) (all []string) {
	for m := range v.Members() {
		all = append(all, m.Name)
	}
	return all
}

func TestTheFirstMemberRecordsItself(t *testing.T) {
	w := newWorld(t)
	w.refused(broker.FailedPrecondition, started(1, 1))
	w = founded(t)
	applied := w.do(started(1, 7))
	if !applied.Change.Members || applied.Change.Duties || applied.Subject != "member/"+nodeID(1) {
		t.Errorf("it changed %+v of %s", applied.Change, applied.Subject)
	}
	want := member(1)
	want.Incarnation, want.JoinedAt = 7, epoch
	if have, ok := w.machine.View().Member(nodeID(1)); !ok || have != want {
		t.Errorf("the member is %+v, %t", have, ok)
	}
	w.refused(broker.NotFound, started(2, 1))
}

func TestAStartUpdatesAMember(t *testing.T) {
	w := clustered(t, 2)
	next := started(2, 1)
	next.Member.Address, next.Member.Version, next.Member.Settings = "n2.example:8301", "1.1", [32]byte{9}
	r := w.later(time.Hour).do(next).Record
	next.Member.JoinedAt = epoch
	if have, _ := w.machine.View().MemberNamed("n2"); have != next.Member {
		t.Errorf("the member is %+v", have)
	}
	if before, after := field(r, "member/"+nodeID(2), "settings"); !strings.HasPrefix(before, "0200") || !strings.HasPrefix(after, "0900") || len(after) != 64 {
		t.Errorf("its settings went from %q to %q", before, after)
	}
	next.Member.Incarnation, next.Member.Name = 2, "other"
	w.do(next)
	if _, ok := w.machine.View().MemberNamed("n2"); ok || !slices.Equal(memberNames(w.machine.View()), []string{"n1", "other"}) {
		t.Errorf("the members are %v", memberNames(w.machine.View()))
	}
	next.Member.Incarnation, next.Member.Name = 3, "n1"
	w.refused(broker.AlreadyExists, next)
}

func TestACopyOfANodeIsRefused(t *testing.T) {
	w := clustered(t, 1)
	w.do(started(1, 5))
	for _, incarnation := range []uint64{5, 4, 1} {
		refusal := w.refused(broker.FailedPrecondition, started(1, incarnation))
		if !strings.Contains(refusal.Detail, "another process") {
			t.Errorf("start %d: %v", incarnation, refusal)
		}
	}
	w.do(started(1, 6))
}

func TestATokenAdmitsOneNodeOnce(t *testing.T) {
	w := clustered(t, 1)
	if applied := w.do(joinToken(2, epoch.Add(time.Minute))); !applied.Change.Members || applied.Subject != "join_token/"+tokenID(2) {
		t.Errorf("it changed %+v of %s", applied.Change, applied.Subject)
	}
	applied := w.later(time.Second).do(admit(2))
	if !applied.Change.Members || !slices.Equal(memberNames(w.machine.View()), []string{"n1", "n2"}) {
		t.Errorf("it changed %+v, the members are %v", applied.Change, memberNames(w.machine.View()))
	}
	used, _ := w.machine.View().JoinToken(tokenID(2))
	if used.UsedBy != nodeID(2) || !used.UsedAt.Equal(w.now) {
		t.Errorf("the token is %+v", used)
	}
	// Its answer was lost: it asks again, after the token's end too.
	if again := w.later(time.Hour).do(admit(2)); !again.Change.Empty() {
		t.Errorf("admitting it again changed %+v", again.Change)
	}
	other := admit(2)
	other.Member.ID = nodeID(3)
	if refusal := w.refused(broker.FailedPrecondition, other); !strings.Contains(refusal.Detail, "was used") {
		t.Errorf("another node with the same token: %v", refusal)
	}
	w.do(state.RemoveMember{ID: nodeID(2)})
	w.refused(broker.PermissionDenied, admit(2))
}

func TestATokenIsForOneNameAndTime(t *testing.T) {
	w := clustered(t, 2)
	w.do(joinToken(3, epoch.Add(time.Minute)))
	w.refused(broker.NotFound, admit(4))
	other := admit(4)
	other.Token = tokenID(3)
	w.refused(broker.InvalidArgument, other)
	known := admit(2)
	known.Token, known.Member.Name = tokenID(3), "n3"
	w.refused(broker.AlreadyExists, known)
	taken := started(2, 1)
	taken.Member.Name = "n3"
	w.do(taken)
	w.refused(broker.AlreadyExists, admit(3))
	taken.Member.Incarnation, taken.Member.Name = 2, "n2"
	w.do(taken)
	w.now = epoch.Add(time.Minute)
	if refusal := w.refused(broker.FailedPrecondition, admit(3)); !strings.Contains(refusal.Detail, "expired") {
		t.Errorf("a token at its end: %v", refusal)
	}
	w.now = epoch.Add(time.Minute - 1)
	w.do(admit(3))
}

func TestANewTokenIsNew(t *testing.T) {
	newWorld(t).refused(broker.FailedPrecondition, joinToken(2, epoch.Add(time.Minute)))
	w := clustered(t, 1)
	used := joinToken(2, epoch.Add(time.Minute))
	used.Token.UsedBy, used.Token.UsedAt = nodeID(2), epoch
	w.do(used)
	if have, _ := w.machine.View().JoinToken(tokenID(2)); have.UsedBy != "" || !have.UsedAt.IsZero() {
		t.Errorf("it is used already: %+v", have)
	}
	w.refused(broker.AlreadyExists, used)
	w.refused(broker.AlreadyExists, state.PutJoinToken{Token: state.JoinToken{ID: tokenID(1), Name: "n1", ExpiresAt: epoch.Add(time.Minute)}})
	w.refused(broker.InvalidArgument, joinToken(3, epoch))
	w.refused(broker.InvalidArgument, joinToken(3, epoch.Add(state.MaxJoinTokenTTL+1)))
	w.do(joinToken(3, epoch.Add(state.MaxJoinTokenTTL)))
	w.do(admit(3))
	w.do(state.RemoveMember{ID: nodeID(3)})
	again := joinToken(4, epoch.Add(time.Minute)) // the name of a node that was removed is free
	again.Token.Name = "n3"
	w.do(again)
}

func TestTokensAreForgottenADayAfterTheirEnd(t *testing.T) {
	w := clustered(t, 1)
	for i := range state.MaxJoinTokens {
		w.do(joinToken(100+i, epoch.Add(time.Minute)))
	}
	w.now = epoch.Add(time.Minute + 24*time.Hour)
	w.refused(broker.ResourceExhausted, joinToken(2, w.now.Add(time.Minute)))
	r := w.later(1).do(joinToken(2, w.now.Add(time.Minute))).Record
	if before, after := field(r, "join_token/"+tokenID(100), "name"); before != "n100" || after != "" {
		t.Errorf("a forgotten token went from %q to %q", before, after)
	}
	if n := len(slices.Collect(w.machine.View().JoinTokens())); n != state.MaxJoinTokens {
		t.Errorf("there are %d tokens", n)
	}
}

// DESIGN §2.13: one wrong clock removes nothing.
func TestAClockAYearAheadForgetsNoToken(t *testing.T) {
	w := clustered(t, 1)
	right := w.now
	w.do(joinToken(50, right.Add(time.Hour))) // is used, by the time of the others
	w.do(admit(50))
	for i := range state.MaxJoinTokens - 2 {
		w.do(joinToken(100+i, right.Add(time.Hour+time.Duration(state.MaxJoinTokens-i)*time.Second)))
	}
	w.now = right.Add(365 * 24 * time.Hour)
	r := w.do(joinToken(2, w.now.Add(time.Minute))).Record // the last for which there is room
	for i := range state.MaxJoinTokens - 2 {
		if _, ok := w.machine.View().JoinToken(tokenID(100 + i)); !ok {
			t.Fatalf("token %d is forgotten: %+v", i, r)
		}
	}
	gone := func(n int) {
		t.Helper()
		if _, ok := w.machine.View().JoinToken(tokenID(n)); ok {
			t.Errorf("token %d is not the one that made room", n)
		}
	}
	w.do(joinToken(3, w.now.Add(time.Minute)))
	gone(50)
	w.do(joinToken(4, w.now.Add(time.Minute)))
	gone(100 + state.MaxJoinTokens - 3)
	w.now = right.Add(time.Minute)
	w.do(admit(100))
	w.refused(broker.ResourceExhausted, joinToken(5, w.now.Add(time.Minute)))
	// By the time of the others it would be good for a year.
	if refusal := w.refused(broker.FailedPrecondition, admit(4)); !strings.Contains(refusal.Detail, "clock") {
		t.Errorf("a token made by a clock that is ahead: %v", refusal)
	}
}

func TestAClusterHasSoManyMembersAtMost(t *testing.T) {
	w := clustered(t, state.MaxMembers)
	w.do(joinToken(99, epoch.Add(time.Minute)))
	w.refused(broker.ResourceExhausted, admit(99))
	w.do(state.RemoveMember{ID: nodeID(2)})
	w.do(admit(99))
	if n := w.machine.View().MemberCount(); n != state.MaxMembers {
		t.Errorf("there are %d members", n)
	}
}

func TestARemovedMemberIsOutForEver(t *testing.T) {
	w := clustered(t, 3)
	w.do(state.PutDuties{Duties: state.Duties{Epoch: 1, Live: []string{nodeID(1), nodeID(2)}}})
	applied := w.later(time.Minute).do(state.RemoveMember{ID: nodeID(2)})
	if !applied.Change.Members || !applied.Change.Duties {
		t.Errorf("it changed %+v", applied.Change)
	}
	v := w.machine.View()
	if have, ok := v.Removed(nodeID(2)); !ok || have != (state.Removed{ID: nodeID(2), Name: "n2", At: w.now}) {
		t.Errorf("the removed member is %+v, %t", have, ok)
	}
	if d := v.Duties(); d.Epoch != 2 || !slices.Equal(d.Live, []string{nodeID(1)}) {
		t.Errorf("the duties are %+v", d)
	}
	if before, after := field(applied.Record, "member/"+nodeID(2), "name"); before != "n2" || after != "" {
		t.Errorf("the record went from %q to %q", before, after)
	}
	if before, after := field(applied.Record, "duties", "live"); before != "000000000000, 000000000000" || after != "000000000000" {
		t.Errorf("the duties went from %q to %q", before, after)
	}
	w.refused(broker.PermissionDenied, started(2, 9))
	back := joinToken(4, w.now.Add(time.Minute))
	back.Token.Name = "n2"
	w.do(back)
	again := admit(2)
	again.Token = tokenID(4)
	w.refused(broker.PermissionDenied, again)
	again.Member.ID = nodeID(4) // the same machine with a new key
	w.do(again)
	if applied := w.do(state.RemoveMember{ID: nodeID(3)}); applied.Change.Duties {
		t.Error("one that had no duties was relieved of them")
	}
}

func TestARemovedMemberTurnsOutCompromised(t *testing.T) {
	w := clustered(t, 2)
	w.refused(broker.NotFound, state.RemoveMember{ID: nodeID(3), Compromised: true})
	w.do(state.RemoveMember{ID: nodeID(2)})
	w.refused(broker.NotFound, state.RemoveMember{ID: nodeID(2)})
	removedAt := w.now
	applied := w.later(time.Hour).do(state.RemoveMember{ID: nodeID(2), Compromised: true})
	if have, _ := w.machine.View().Removed(nodeID(2)); !have.Compromised || !have.At.Equal(removedAt) || !applied.Change.Members {
		t.Errorf("it is %+v, the change %+v", have, applied.Change)
	}
	w.refused(broker.NotFound, state.RemoveMember{ID: nodeID(2), Compromised: true})
	w.refused(broker.FailedPrecondition, state.RemoveMember{ID: nodeID(1)}) // the last one
}

func TestRemovedMembersAreRememberedAndBounded(t *testing.T) {
	w := clustered(t, 3)
	state.RememberRemoved(w.machine, state.MaxRemoved-1)
	w.do(state.RemoveMember{ID: nodeID(2)})
	w.refused(broker.ResourceExhausted, state.RemoveMember{ID: nodeID(3)})
	if n := len(slices.Collect(w.machine.View().RemovedMembers())); n != state.MaxRemoved {
		t.Errorf("%d are remembered", n)
	}
}

func TestACommandWaitsForTheOldestMember(t *testing.T) {
	w := founded(t)
	if err := w.machine.View().Knows(state.Reseal{}); err != nil {
		t.Errorf("without members: %v", err)
	}
	w = clustered(t, 3)
	for n, commands := range map[int]uint64{2: 17, 3: 20} {
		old := started(n, 2)
		old.Member.Commands, old.Member.Version = commands, "0.9"
		w.do(old)
	}
	for c, want := range map[state.Command][]string{
		state.DeleteEntry{}: nil, state.PutJoinToken{}: nil, state.AdmitMember{}: {"n2"}, state.RemoveMember{}: {"n2"},
	} {
		checkKnows(t, w, c, want)
	}
	checkKnows(t, w, state.PutDuties{}, []string{"n2"})
	checkKnows(t, w, state.Reseal{}, []string{"n2", "n3"})
}

func checkKnows(t *testing.T, w *world, c state.Command, older []string) {
	t.Helper()
	err := w.machine.View().Knows(c)
	if (err == nil) != (older == nil) || err != nil && broker.CodeOf(err) != broker.FailedPrecondition {
		t.Errorf("%T: %v", c, err)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		if err != nil && strings.Contains(err.Error(), name) != slices.Contains(older, name) {
			t.Errorf("%T: %v, and %v do not know it", c, err, older)
		}
	}
}

func TestMembersAndTokensAreValidated(t *testing.T) {
	for name, change := range map[string]func(*state.Member){
		"no ID":                   func(m *state.Member) { m.ID = "" },
		"a short ID":              func(m *state.Member) { m.ID = m.ID[1:] },
		"an ID in capitals":       func(m *state.Member) { m.ID = strings.Repeat("A", 64) },
		"an ID and a line":        func(m *state.Member) { m.ID += "\n" },
		"no name":                 func(m *state.Member) { m.Name = "" },
		"a name of dots":          func(m *state.Member) { m.Name = ".." },
		"a name with a slash":     func(m *state.Member) { m.Name = "a/b" },
		"a long name":             func(m *state.Member) { m.Name = strings.Repeat("n", 64) },
		"no address":              func(m *state.Member) { m.Address = "" },
		"an address without host": func(m *state.Member) { m.Address = ":8300" },
		"an address without port": func(m *state.Member) { m.Address = "n1.example" },
		"port zero":               func(m *state.Member) { m.Address = "n1.example:0" },
		"a port out of range":     func(m *state.Member) { m.Address = "n1.example:65536" },
		"a port by name":          func(m *state.Member) { m.Address = "n1.example:http" },
		"an IPv6 without bracket": func(m *state.Member) { m.Address = "fd00::1:8300" },
		"a host with a space":     func(m *state.Member) { m.Address = "n1 example:8300" },
		"a long address":          func(m *state.Member) { m.Address = strings.Repeat("n", 255) + ":8300" },
		"no version":              func(m *state.Member) { m.Version = "" },
		"a long version":          func(m *state.Member) { m.Version = strings.Repeat("1", 65) },
		"a version not in UTF-8":  func(m *state.Member) { m.Version = "\xff" },
		"no commands":             func(m *state.Member) { m.Commands = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			bad := member(1)
			change(&bad)
			if (state.PutMember{Member: bad}).Validate() == nil || (state.AdmitMember{Token: tokenID(1), Member: bad}).Validate() == nil {
				t.Error("it was accepted")
			}
		})
	}
	for _, address := range []string{"10.0.0.1:8300", "[fd00::1]:1", "[fe80::1%eth0]:8300", "n-1_a.example:65535", "localhost:8300"} {
		good := member(1)
		good.Address, good.Name, good.Version = address, strings.Repeat("n", 63), strings.Repeat("1", 64)
		if err := (state.PutMember{Member: good}).Validate(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
