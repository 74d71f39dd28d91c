package state

// DeleteEntry deletes a registration entry.
type DeleteEntry struct {
	ID string
}
