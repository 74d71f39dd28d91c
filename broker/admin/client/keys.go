package client

import "time"

// KeyCare is how the authorities' keys are sealed, and what is still to be done
// about them after a removal, or because somebody asked.
type KeyCare struct {
	KEK      string    `json:"kek,omitempty"` // the ID of the key-encryption key; absent if nothing is sealed, or who leads does not say
	Provided bool      `json:"provided,omitempty"`
	SealedAt time.Time `json:"sealed_at,omitzero"` // absent: the key-encryption key is the domain's first
	Since    uint64    `json:"since,omitempty"`    // log index of that

	Pending bool               `json:"pending"`           // another key-encryption key is to take its place
	Asked   bool               `json:"asked,omitempty"`   // because an operator wants it
	Removed []string           `json:"removed,omitempty"` // because these were removed and know it
	Turning []TurningAuthority `json:"turning"`           // a compromised member could open them
	AtOnce  bool               `json:"at_once,omitempty"` // they do not wait for the publication window
	Trouble string             `json:"trouble,omitempty"` // what the leader waits for
}

// TurningAuthority is an authority that is to be replaced, or tainted.
type TurningAuthority struct {
	Use      string    `json:"use"`
	ID       string    `json:"id"`
	Status   string    `json:"status"`
	Tainted  bool      `json:"tainted,omitempty"`
	Next     string    `json:"next,omitempty"`    // ID of the one that takes its place
	Earliest time.Time `json:"earliest,omitzero"` // when that may sign
}

// Rekeyed is with which key-encryption key the authorities' keys are sealed.
type Rekeyed struct {
	KEK     string      `json:"kek"`             // its ID
	Since   uint64      `json:"since,omitempty"` // log index; absent: since the domain was made
	Members []KEKHolder `json:"members"`
}

// KEKHolder is a member, and whether it seals with the key-encryption key.
type KEKHolder struct {
	Name string `json:"name"`
	Has  bool   `json:"has"`
	Why  string `json:"why,omitempty"` // not
}
