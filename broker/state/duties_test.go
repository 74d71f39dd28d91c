package state_test

import (
	"slices"
	"testing"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func duties(epoch uint64, nodes ...int) state.PutDuties {
	d := state.Duties{Epoch: epoch}
	for _, n := range nodes {
		d.Live = append(d.Live, nodeID(n))
	}
	return state.PutDuties{Duties: d}
}

func TestDutiesFollowOneAnother(t *testing.T) {
	w := clustered(t, 3)
	if d := w.machine.View().Duties(); d.Epoch != 0 || d.Live != nil {
		t.Errorf("before the first they are %+v", d)
	}
	w.refused(broker.Aborted, duties(2, 1))
	applied := w.do(duties(1, 1, 2))
	if !applied.Change.Duties || applied.Change.Members || applied.Subject != "duties" {
		t.Errorf("it changed %+v of %s", applied.Change, applied.Subject)
	}
	w.refused(broker.Aborted, duties(1, 1, 3)) // another leader was faster
	w.do(duties(2, 1, 3))
	if d := w.machine.View().Duties(); d.Epoch != 2 || !slices.Equal(d.Live, []string{nodeID(1), nodeID(3)}) {
		t.Errorf("they are %+v", d)
	}
}

func TestDutiesAreForMembers(t *testing.T) {
	w := clustered(t, 2)
	w.refused(broker.InvalidArgument, duties(1, 1, 3))
	w.do(duties(1, 1, 2))
	w.do(state.RemoveMember{ID: nodeID(2)})
	w.refused(broker.Aborted, duties(2, 1))
	w.refused(broker.InvalidArgument, duties(3, 1, 2))
	w.do(duties(3, 1))
}

func TestNobodyIsLeftOnDuty(t *testing.T) {
	w := clustered(t, 2)
	w.do(duties(1, 2))
	w.do(state.RemoveMember{ID: nodeID(2)})
	if d := w.machine.View().Duties(); d.Epoch != 2 || len(d.Live) != 0 {
		t.Errorf("the duties are %+v", d)
	}
	w.do(duties(3, 1))
}

func TestTheAuditTrailNamesEveryMemberOnDuty(t *testing.T) {
	w := clustered(t, state.MaxMembers)
	var all []int
	for n := range state.MaxMembers {
		all = append(all, n+1)
	}
	r := w.do(duties(1, all...)).Record
	if _, after := field(r, "duties", "live"); len(after) != 15*12+14*2 {
		t.Errorf("they are shown as %q", after)
	}
}

func TestDutiesAreValidated(t *testing.T) {
	for name, c := range map[string]state.PutDuties{
		"no epoch":        duties(0, 1),
		"nobody":          duties(1),
		"not sorted":      duties(1, 2, 1),
		"twice":           duties(1, 1, 1),
		"no ID":           {Duties: state.Duties{Epoch: 1, Live: []string{"n1"}}},
		"more than there": duties(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
	} {
		if c.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := duties(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15).Validate(); err != nil {
		t.Error(err)
	}
}
