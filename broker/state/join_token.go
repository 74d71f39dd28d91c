package state

import (
	"errors"
	"time"
)

// Limits of join tokens, by the time of commands.
const (
	// MaxJoinTokens is how many are kept.
	MaxJoinTokens = 1000
	// MaxJoinTokenTTL is for how long one may be good, by whose clock ever.
	MaxJoinTokenTTL = 7 * 24 * time.Hour
	// joinTokenMemory is how long after its end a token is still told from one that never was.
	joinTokenMemory = 24 * time.Hour
)

// JoinToken lets one node join. The token itself is a key, which is not here.
type JoinToken struct {
	ID        string // SHA-256 of the token's public key, in lower-case hex
	Name      string // of the node that may join
	ExpiresAt time.Time
	UsedBy    string    // the member that it admitted; "" before that. Apply sets it
	UsedAt    time.Time // zero before that. Apply sets it
}

// Validate says what is wrong with t.
func (t JoinToken) Validate() error {
	if err := validateKeyHash("a join token", t.ID); err != nil {
		return err
	}
	if t.ExpiresAt.IsZero() {
		return errors.New("a join token has no end: say until when it is good")
	}
	return validateMemberName(t.Name)
}

func joinTokenFields(v visitor, t *JoinToken) {
	v.text(1, "id", &t.ID)
	v.text(2, "name", &t.Name)
	v.moment(3, "expires_at", &t.ExpiresAt)
	v.text(4, "used_by", &t.UsedBy)
	v.moment(5, "", &t.UsedAt)
}

var joinTokenShape = shape[JoinToken]{
	kind:   recordJoinToken,
	name:   "join_token",
	key:    func(t *JoinToken) string { return t.ID },
	fields: joinTokenFields,
}
