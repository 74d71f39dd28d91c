package registrar_test

import (
	"context"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
	"github.com/concord-id/concord/workload"
)

// lagging is a member whose newest commands come only when a leader confirms.
type lagging struct {
	*memcluster.Ledger
	shown     *state.View // until then
	leader    bool
	confirmed int
}

func (l *lagging) View() *state.View {
	if l.shown != nil {
		return l.shown
	}
	return l.Ledger.View()
}

func (l *lagging) Confirm(context.Context) error {
	l.confirmed++
	if !l.leader {
		return broker.Refuse(broker.Unavailable, "there is no leader now")
	}
	l.shown = nil
	return nil
}

// DESIGN §2.12: nothing is refused from a stale view.
func TestWhatIsNotThereIsConfirmedFirst(t *testing.T) {
	entry := workload.Entry{ID: "web", Selectors: []attest.Selector{{Type: "unix", Value: "uid:1"}}}
	look := func(t *testing.T, leader bool) (*lagging, error) {
		c := memcluster.New(t, "acme.example", memcluster.Options{})
		behind := &lagging{Ledger: c.Ledger, shown: c.View(), leader: leader}
		one := entry
		one.SPIFFEID, one.ParentID = c.ID("/web"), workload.AgentAlias(c.TrustDomain())
		c.Do(t, state.PutEntry{Entry: one})
		r := registrar.New(registrar.Parts{Ledger: behind, Level: c.Level})
		_, err := r.Entry(t.Context(), memcluster.Reader, "web")
		return behind, err
	}
	if l, err := look(t, true); err != nil || l.confirmed != 1 {
		t.Errorf("what another member wrote: %v, after %d questions", err, l.confirmed)
	}
	if _, err := look(t, false); broker.CodeOf(err) != broker.Unavailable {
		t.Errorf("without a leader: %v, want it to be unavailable", err)
	}
}

func TestWhatIsReallyNotThereIsNotFound(t *testing.T) {
	c := memcluster.New(t, "acme.example", memcluster.Options{})
	behind := &lagging{Ledger: c.Ledger, leader: true}
	r := registrar.New(registrar.Parts{Ledger: behind, Level: c.Level})
	for name, ask := range map[string]func() error{
		"entry": func() error { _, err := r.Entry(t.Context(), memcluster.Admin, "none"); return err },
		"agent": func() error {
			_, err := r.Agent(t.Context(), memcluster.Admin, c.ID("/spire/agent/x/none"))
			return err
		},
		"relationship": func() error {
			_, err := r.Relationship(t.Context(), memcluster.Admin, spiffeid.RequireTrustDomainFromString("bank.example"))
			return err
		},
		"bundle": func() error {
			_, err := r.Bundle(t.Context(), memcluster.Admin, spiffeid.RequireTrustDomainFromString("bank.example"))
			return err
		},
		"update": func() error {
			_, err := r.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{Entry: workload.Entry{ID: "none"}})
			return err
		},
		"ban": func() error {
			_, err := r.BanAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: c.ID("/spire/agent/x/none")})
			return err
		},
		"member": func() error {
			_, err := r.RemoveMember(t.Context(), memcluster.Admin, registrar.RemoveMember{Member: "none"})
			return err
		},
	} {
		behind.confirmed = 0
		if err := ask(); broker.CodeOf(err) != broker.NotFound || behind.confirmed != 1 {
			t.Errorf("%s: %v, after %d questions to the leader", name, err, behind.confirmed)
		}
	}
}
