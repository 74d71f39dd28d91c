// Package client is the administrative REST API as its clients see it: the
// documents that go over the wire, and a client that speaks them over the
// admin socket. It knows nothing of how a node keeps what it shows.
package client

// Error is the body of every answer that is not a success.
type Error struct {
	Error struct {
		Code   string `json:"code"`   // "not_found"
		Detail string `json:"detail"` // what was wrong, where, what to do
	} `json:"error"`
}

// Page is what every listing has beside its items.
type Page struct {
	Next  string `json:"next,omitempty"` // page_token of the next page; absent on the last
	Index uint64 `json:"index"`          // log index that the page was read at
}

// Outcome is the answer to every write: what was and what is, or with dry_run
// what would be.
type Outcome[T any] struct {
	Before *T     `json:"before,omitempty"` // absent: there was nothing
	After  *T     `json:"after,omitempty"`  // absent: nothing is left
	Index  uint64 `json:"index"`            // log index of the change; of a dry run, what it looked at; 0: it is not in the log
	DryRun bool   `json:"dry_run,omitempty"`
	// Warning is what the change does not do by itself; "": nothing.
	Warning string `json:"warning,omitempty"`
}
