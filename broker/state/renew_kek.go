package state

// RenewKEK asks for another key-encryption key. Whoever leads makes one and
// seals the authorities' keys with it, by Reseal, however long that takes.
type RenewKEK struct{}

func (c RenewKEK) kind() kind             { return kindRenewKEK }
func (c RenewKEK) subject() string        { return sealingShape.name }
func (c RenewKEK) fields(visitor) Command { return c }

// Validate has nothing to say.
func (c RenewKEK) Validate() error { return nil }

func (c RenewKEK) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	next := Sealing{}
	if last := d.sealing.get(""); last != nil {
		next = *last
	}
	next.Asked = d.index
	d.sealing.put(d, &next)
	d.change.Authorities = true
	return nil
}
