package state

// Command is one change of the state. All of them are in this package, one
// file each. Time, randomness, fetching and signing are done before a command
// is proposed; it carries their results.
type Command interface {
	// Validate says what is wrong with the command as far as it can be seen
	// without the state, at full strength. It is asked at the edge and by
	// Encode, never by Apply: what an older node accepted stays accepted.
	Validate() error
}
