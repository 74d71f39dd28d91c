package state

// PutSettings replaces the domain's settings. It was made from a
// configuration, not from what it replaces, so the last writer wins.
type PutSettings struct {
	Settings Settings
}
