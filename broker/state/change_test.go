package state_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/state"
)

func TestChangesMerge(t *testing.T) {
	one := state.Change{Index: 4, Own: true, Duties: true, Entries: []string{"a", "c"}, Bundles: []spiffeid.TrustDomain{shop}}
	two := state.Change{Index: 5, Settings: true, Entries: []string{"b", "c"}, Bundles: []spiffeid.TrustDomain{bank, shop}, Relationships: []spiffeid.TrustDomain{bank}}
	m := one.Merge(two)
	if m.Index != 5 || !m.Own || !m.Settings || !m.Duties || m.Members || m.Agents || m.Everything || m.Authorities {
		t.Errorf("merged: %+v", m)
	}
	if !slices.Equal(m.Entries, []string{"a", "b", "c"}) || !slices.Equal(m.Bundles, []spiffeid.TrustDomain{bank, shop}) || !m.Relationship(bank) {
		t.Errorf("merged: %+v", m)
	}
	if !slices.Equal(one.Entries, []string{"a", "c"}) || len(one.Bundles) != 1 {
		t.Errorf("merging changed what was merged: %+v", one)
	}
	if !(state.Change{Index: 3}).Empty() || m.Empty() {
		t.Error("a change is empty if it is not, or the other way round")
	}
}

func TestEveryPartOfAChangeIsMerged(t *testing.T) {
	kind := reflect.TypeFor[state.Change]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		var some state.Change
		switch field := reflect.ValueOf(&some).Elem().Field(i); {
		case name == "Index":
			continue
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		default:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		}
		for _, m := range []state.Change{some.Merge(state.Change{}), (state.Change{}).Merge(some)} {
			if some.Empty() || !reflect.DeepEqual(m, some) {
				t.Errorf("%s: %+v merged with nothing is %+v", name, some, m)
			}
		}
	}
}

func TestAMergedChangeStaysSmall(t *testing.T) {
	var m state.Change
	for i := range 5000 {
		m = m.Merge(state.Change{Entries: []string{fmt.Sprintf("%05d", i)}})
	}
	if !m.AllEntries || len(m.Entries) != 0 || !m.Entry("anything") || !m.AnyEntry() || m.Empty() {
		t.Errorf("merged: %+v", m)
	}
}

func TestEverythingIsEverything(t *testing.T) {
	c := state.Change{Everything: true}
	if !c.Entry("a") || !c.Bundle(bank) || !c.Relationship(bank) || c.Empty() {
		t.Errorf("%+v does not concern everybody", c)
	}
}
