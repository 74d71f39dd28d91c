package state_test

import (
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

func TestADomainBeginsWithWhatItSignsWith(t *testing.T) {
	w := founded(t)
	v := w.machine.View()
	domain, ok := v.Domain()
	if !ok || domain.TrustDomain != acme || domain.CreatedAt != epoch || domain.ClusterID != "8c1f7d0e" {
		t.Fatalf("the domain is %+v, %t", domain, ok)
	}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		var stages []ca.Status
		for _, a := range v.Authorities(use) {
			stages = append(stages, a.Status)
			if a.PreparedAt != epoch || a.LargestHint != time.Minute {
				t.Errorf("%s authority was prepared at %s with hint %s", use, a.PreparedAt, a.LargestHint)
			}
			if (a.ActivatedAt == epoch) != (a.Status == ca.Active) {
				t.Errorf("%s authority that is %s was activated at %s", use, a.Status, a.ActivatedAt)
			}
		}
		slices.Sort(stages)
		if !slices.Equal(stages, []ca.Status{ca.Prepared, ca.Active}) {
			t.Errorf("%s authorities are %v", use, stages)
		}
	}
	own := v.Own()
	if len(own.Bundle.X509) != 2 || len(own.Bundle.JWT) != 2 || own.Bundle.Sequence != uint64(epoch.Unix()) || own.Bundle.Hint != time.Minute {
		t.Errorf("our own bundle is %s", own.Document)
	}
	if own.UpdatedAt != epoch || own.UpdatedIndex != 1 || own.Origin != "own" {
		t.Errorf("our own bundle says of itself %s, %d, %s", own.UpdatedAt, own.UpdatedIndex, own.Origin)
	}
}

func TestADomainIsMadeOnce(t *testing.T) {
	w := founded(t)
	w.refused(broker.AlreadyExists, bootstrap())
}

func TestBeforeTheDomainThereIsNothing(t *testing.T) {
	w := newWorld(t)
	if v := w.machine.View(); v.Own() != nil || v.Index() != 0 {
		t.Fatal("an empty state has a bundle or an index")
	}
	for _, c := range samples() {
		if _, ok := c.(state.Bootstrap); ok {
			continue
		}
		if applied := w.apply(c); applied.Refusal == nil {
			t.Errorf("%T was applied before the domain exists", c)
		}
	}
	w.do(bootstrap())
}

func TestADomainBeginsWithOneActiveAuthorityOfEachUse(t *testing.T) {
	for name, authorities := range map[string][]ca.Authority{
		"none":             nil,
		"no JWT":           {root(acme, 1, ca.Active)},
		"no active X.509":  {root(acme, 1, ca.Prepared), jwtKey(2, ca.Active)},
		"two active X.509": {root(acme, 1, ca.Active), root(acme, 3, ca.Active), jwtKey(2, ca.Active)},
		"two prepared JWT": {root(acme, 1, ca.Active), jwtKey(2, ca.Active), jwtKey(3, ca.Prepared), jwtKey(4, ca.Prepared)},
		"an old one":       {root(acme, 1, ca.Active), root(acme, 3, ca.Old), jwtKey(2, ca.Active)},
		"another domain's": {root(bank, 1, ca.Active), jwtKey(2, ca.Active)},
	} {
		b := bootstrap()
		b.Authorities = authorities
		if _, err := state.Encode(sampleAct(), b); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheOrderOfAuthoritiesMeansNothing(t *testing.T) {
	forward, backward := founded(t), founded(t, func(b *state.Bootstrap) { slices.Reverse(b.Authorities) })
	if a, b := forward.machine.View().Own(), backward.machine.View().Own(); a.ETag != b.ETag {
		t.Errorf("the bundle is %s or %s", a.Document, b.Document)
	}
	if forward.records() != backward.records() {
		t.Error("the authorities differ")
	}
}
