package state

// NewForgetfulMachine returns a machine that remembers limit requests.
func NewForgetfulMachine(limit int) *Machine {
	m := NewMachine()
	tables := newTables()
	tables.queue = newRequestQueue(limit)
	m.view.Store(&View{tables: tables})
	return m
}
