package state

import (
	"errors"

	"github.com/concord-id/concord/broker"
)

// DeleteEntry deletes a registration entry.
type DeleteEntry struct {
	ID string
}

func (c DeleteEntry) kind() kind      { return kindDeleteEntry }
func (c DeleteEntry) subject() string { return subject(entryShape.name, c.ID) }

func (c DeleteEntry) fields(v visitor) Command {
	v.text(1, "id", &c.ID)
	return c
}

// Validate wants an ID.
func (c DeleteEntry) Validate() error {
	if c.ID == "" {
		return errors.New("no entry was named: give its ID")
	}
	return nil
}

func (c DeleteEntry) apply(d *draft) error {
	e := d.entries.get(c.ID)
	if e == nil {
		return broker.Refuse(broker.NotFound, "there is no entry %.80q", c.ID)
	}
	d.dropEntry(e)
	return nil
}
