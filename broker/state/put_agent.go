package state

// PutAgent makes or replaces the record of an agent. It never lifts a ban.
type PutAgent struct {
	Agent Agent
}
