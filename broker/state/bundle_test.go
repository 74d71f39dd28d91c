package state_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// followed is a world with a relationship with bank and shop.
func followed(t fataler) *world {
	w := founded(t)
	w.do(state.PutRelationship{Relationship: relationship(bank)})
	w.do(state.PutRelationship{Relationship: relationship(shop)})
	return w
}

// fetched is what a poller proposes after it saw current.
func fetched(p, current *federation.Published) state.PutBundle {
	c := state.PutBundle{TrustDomain: p.Bundle.TrustDomain, Document: p.Document, Origin: state.OriginFetch}
	if current != nil {
		c.IfDocument = current.Digest
	}
	return c
}

func TestFD_35_ABundleIsKept(t *testing.T) {
	w := followed(t)
	first, second := bundle(bank, 1, []int{10}, nil), bundle(bank, 2, []int{10, 11}, []int{12})
	applied := w.do(fetched(first, nil))
	if !applied.Change.Bundle(bank) || applied.Change.Bundle(shop) || applied.Change.Own {
		t.Errorf("the change is %+v", applied.Change)
	}
	w.later(time.Minute).do(fetched(second, first))
	have := w.machine.View().Foreign(bank)
	if !bytes.Equal(have.Document, second.Document) || have.ETag != second.ETag || have.Origin != "fetch" || have.UpdatedAt != w.now || have.UpdatedIndex != w.index {
		t.Errorf("the bundle is %+v", have)
	}
	if w.machine.View().Foreign(shop) != nil || w.machine.View().BundleCount() != 1 {
		t.Error("there is a bundle that nobody brought")
	}
	if applied := w.later(time.Minute).do(fetched(second, second)); !applied.Change.Empty() || w.machine.View().Foreign(bank).UpdatedIndex != have.UpdatedIndex {
		t.Errorf("the same bundle again is a change: %+v", applied.Change)
	}
}

func TestWhoDidNotSeeTheBundleDoesNotReplaceIt(t *testing.T) {
	w := followed(t)
	one, two, three := bundle(bank, 1, []int{10}, nil), bundle(bank, 2, []int{11}, nil), bundle(bank, 3, []int{12}, nil)
	w.refused(broker.Aborted, fetched(two, one))
	w.do(fetched(one, nil))
	w.refused(broker.AlreadyExists, fetched(two, nil))
	w.do(fetched(two, one))
	w.refused(broker.Aborted, fetched(three, one))
	w.do(operator(one)) // a person may go back
	if have := w.machine.View().Foreign(bank); have.ETag != one.ETag || have.Origin != "operator" {
		t.Errorf("the bundle is %s by %s", have.ETag, have.Origin)
	}
}

func TestFD_36_AnOlderBundleThatWasFetchedReplacesNone(t *testing.T) {
	w := followed(t)
	newer, older := bundle(bank, 7, []int{10}, nil), bundle(bank, 6, []int{11}, nil)
	w.do(fetched(newer, nil))
	w.refused(broker.FailedPrecondition, fetched(older, newer))
}

func TestNobodyBringsABundleForOurDomain(t *testing.T) {
	w := followed(t)
	forged := bundle(acme, 1<<40, []int{20}, nil)
	w.refused(broker.InvalidArgument, fetched(forged, nil))
	w.refused(broker.InvalidArgument, fetched(forged, w.machine.View().Own()))
	w.refused(broker.InvalidArgument, operator(forged))
	w.refused(broker.InvalidArgument, state.PutRelationship{Relationship: relationship(acme)})
	for _, mode := range []state.DeleteMode{state.Restrict, state.DeleteThem, state.Dissociate} {
		w.refused(broker.InvalidArgument, state.DeleteBundle{TrustDomain: acme, Mode: mode})
	}
	w.refused(broker.NotFound, state.DeleteRelationship{TrustDomain: acme})
	if w.machine.View().Foreign(acme) != nil {
		t.Error("our own domain is foreign to us")
	}
}

func TestTB_17_AKeyServesOneTrustDomain(t *testing.T) {
	w := followed(t)
	w.do(operator(bundle(bank, 1, []int{10}, []int{11})))
	for name, p := range map[string]*federation.Published{
		"our active root":             bundle(shop, 1, []int{1}, nil),
		"our next root":               bundle(shop, 1, []int{20, 3}, nil),
		"our JWT key":                 bundle(shop, 1, []int{20}, []int{2}),
		"our root as a JWT key":       bundle(shop, 1, nil, []int{1}),
		"our JWT key as a root":       bundle(shop, 1, []int{4}, nil),
		"bank's root":                 bundle(shop, 1, []int{10}, nil),
		"bank's JWT key":              bundle(shop, 1, []int{20}, []int{11}),
		"bank's root as a JWT key":    bundle(shop, 1, nil, []int{10}),
		"bank's root, a person's act": bundle(shop, 1, []int{20, 21, 10}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.refused(broker.FailedPrecondition, fetched(p, nil))
			w.refused(broker.FailedPrecondition, operator(p))
		})
	}
	w.t = t
	w.do(operator(bundle(bank, 2, []int{12}, []int{11}))) // bank gives key 10 up
	w.do(operator(bundle(shop, 1, []int{10}, nil)))
	w.refused(broker.FailedPrecondition, operator(bundle(bank, 3, []int{10}, nil)))

	w.later(time.Hour).do(activate(3))
	w.refused(broker.FailedPrecondition, state.PrepareAuthority{Authority: root(acme, 10, 0)})
	w.do(state.DeleteRelationship{TrustDomain: shop})
	w.do(state.PrepareAuthority{Authority: root(acme, 10, 0)})

	hash, err := federation.HashKey(keys[12].Public())
	if err != nil {
		t.Fatal(err)
	}
	if td, held := w.machine.View().Holder(hash); !held || td != bank {
		t.Errorf("key 12 is held by %s, %t", td, held)
	}
}

func TestAnotherDomainsKeyIsFreeWhenItsBundleGoes(t *testing.T) {
	w := followed(t)
	w.do(operator(bundle(bank, 1, []int{10}, nil)))
	w.do(state.DeleteBundle{TrustDomain: bank})
	w.do(operator(bundle(shop, 1, []int{10}, nil)))
}

func TestFD_41_TheEndOfARelationshipIsTheEndOfItsBundle(t *testing.T) {
	w := followed(t)
	p := bundle(bank, 1, []int{10}, nil)
	w.do(fetched(p, nil))
	w.do(fetched(bundle(shop, 1, []int{11}, nil), nil))
	applied := w.do(state.DeleteRelationship{TrustDomain: bank})
	if !applied.Change.Relationship(bank) || !applied.Change.Bundle(bank) || applied.Change.Bundle(shop) {
		t.Errorf("the change is %+v", applied.Change)
	}
	if _, ok := w.machine.View().Relationship(bank); ok || w.machine.View().Foreign(bank) != nil {
		t.Error("the relationship or the bundle is still there")
	}
	w.refused(broker.NotFound, state.DeleteRelationship{TrustDomain: bank})
	// A poll that was under way must not bring it back.
	w.refused(broker.FailedPrecondition, fetched(p, nil))
	if w.machine.View().Foreign(shop) == nil || w.machine.View().RelationshipCount() != 1 {
		t.Error("another relationship suffered")
	}
}

func TestARelationshipIsMadeAndChanged(t *testing.T) {
	w := founded(t)
	r := relationship(bank)
	r.Revision, r.CreatedAt = 5, epoch.Add(-time.Hour)
	w.do(state.PutRelationship{Relationship: r})
	w.refused(broker.AlreadyExists, state.PutRelationship{Relationship: r})
	r.URL = "https://elsewhere.example/bundle"
	w.later(time.Minute)
	applied := w.do(state.PutRelationship{Relationship: r, IfRevision: revision(0)})
	have, _ := w.machine.View().Relationship(bank)
	if !applied.Change.Relationship(bank) || have.Revision != 1 || have.CreatedAt != epoch || have.URL != r.URL {
		t.Errorf("it became %+v by %+v", have, applied.Change)
	}
	w.refused(broker.Aborted, state.PutRelationship{Relationship: r, IfRevision: revision(0)})
	if applied := w.do(state.PutRelationship{Relationship: r, IfRevision: revision(1)}); !applied.Change.Empty() {
		t.Errorf("the same again is a change: %+v", applied.Change)
	}
}

func TestWhatBecomesOfEntriesThatFederateWithADeletedBundle(t *testing.T) {
	for mode, want := range map[state.DeleteMode][]string{
		state.Restrict: nil, state.DeleteThem: {"none"}, state.Dissociate: {"both", "none", "one"},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			w := followed(t)
			w.do(operator(bundle(bank, 1, []int{10}, nil)))
			put := func(name string, domains ...spiffeid.TrustDomain) {
				e := entry(name, "/"+name, "unix:uid:1")
				e.FederatesWith = domains
				w.do(state.PutEntry{Entry: e})
			}
			put("none")
			put("one", bank)
			put("both", bank, shop)
			c := state.DeleteBundle{TrustDomain: bank, Mode: mode}
			if want == nil {
				w.refused(broker.FailedPrecondition, c)
				return
			}
			applied := w.do(c)
			if !applied.Change.Bundle(bank) || !applied.Change.Entry("one") || !applied.Change.Entry("both") || applied.Change.Entry("none") {
				t.Errorf("the change is %+v", applied.Change)
			}
			v := w.machine.View()
			if got := names(slices.Collect(v.Entries())); !slices.Equal(got, want) {
				t.Errorf("the entries are %v, not %v", got, want)
			}
			if both, ok := v.Entry("both"); ok && (!slices.Equal(both.FederatesWith, []spiffeid.TrustDomain{shop}) || both.Revision != 1) {
				t.Errorf("an entry became %+v", both)
			}
			w.refused(broker.NotFound, c)
		})
	}
}

func TestABundleOfNothingIsKeptAsARevocation(t *testing.T) {
	w := followed(t)
	w.do(operator(bundle(bank, 1, []int{10}, nil)))
	w.do(operator(bundle(bank, 2, nil, nil)))
	if have := w.machine.View().Foreign(bank); have == nil || len(have.Bundle.X509) != 0 {
		t.Errorf("the bundle is %+v", have)
	}
}

func TestTB_5_EqualSequenceMeansEqualBytes(t *testing.T) {
	w := founded(t)
	seen := map[uint64]string{w.machine.View().Own().Bundle.Sequence: w.machine.View().Own().ETag}
	last := w.machine.View().Own().Bundle.Sequence
	for _, c := range []state.Command{
		activate(3), // too early
		state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")},
		state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: time.Hour},
		state.PrepareAuthority{Authority: root(acme, 5, 0)},
		state.TaintAuthority{Use: ca.X509, ID: rootID(1)},
		state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true},
		operator(bundle(bank, 1, []int{10}, nil)),
	} {
		applied := w.apply(c)
		own := w.machine.View().Own()
		if known, ok := seen[own.Bundle.Sequence]; ok && known != own.ETag {
			t.Errorf("%T: sequence %d has two documents", c, own.Bundle.Sequence)
		}
		if grown := own.Bundle.Sequence > last; grown != applied.Change.Own {
			t.Errorf("%T: the sequence grew: %t, the bundle changed: %t", c, grown, applied.Change.Own)
		}
		seen[own.Bundle.Sequence], last = own.ETag, own.Bundle.Sequence
	}
}
