package state

func (c Bootstrap) Validate() error { return nil }
func (c PutSettings) Validate() error { return nil }
func (c PutEntry) Validate() error { return nil }
func (c DeleteEntry) Validate() error { return nil }
func (c PutRelationship) Validate() error { return nil }
func (c DeleteRelationship) Validate() error { return nil }
func (c PutBundle) Validate() error { return nil }
func (c DeleteBundle) Validate() error { return nil }
func (c PrepareAuthority) Validate() error { return nil }
func (c ActivateAuthority) Validate() error { return nil }
func (c TaintAuthority) Validate() error { return nil }
func (c RemoveAuthority) Validate() error { return nil }
func (c PutAgent) Validate() error { return nil }
func (c DeleteAgent) Validate() error { return nil }
