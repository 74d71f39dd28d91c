package state

import (
	"fmt"

	"github.com/concord-id/concord/broker"
)

// NewForgetfulMachine returns a machine that remembers limit requests.
func NewForgetfulMachine(limit int) *Machine {
	m := NewMachine()
	tables := newTables()
	tables.queue = newRequestQueue(limit)
	m.view.Store(&View{tables: tables})
	return m
}

// RememberRemoved makes m remember n members that were removed.
func RememberRemoved(m *Machine, n int) {
	v := m.View()
	d := v.draft(v.index, broker.Act{})
	for i := range n {
		d.removed.put(d, &Removed{ID: fmt.Sprintf("%064x", 0xb000000+i), Name: "gone"})
	}
	m.view.Store(&View{v.index, v.head, d.sum, d.tables})
}
