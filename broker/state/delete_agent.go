package state

import "github.com/spiffe/go-spiffe/v2/spiffeid"

// DeleteAgent deletes the record of an agent, and its ban with it.
type DeleteAgent struct {
	ID spiffeid.ID
}
