package state

import (
	"errors"
	"time"

	"github.com/concord-id/concord/broker"
)

const (
	// MaxJoinTokens is how many join tokens are kept.
	MaxJoinTokens = 1000
	// joinTokenMemory is how long after its end a token is still told from one that never was.
	joinTokenMemory = 24 * time.Hour
)

// JoinToken lets one node join. The token itself is a key, which is not here.
type JoinToken struct {
	ID        string // SHA-256 of the token's public key, in lower-case hex
	Name      string // of the node that may join
	ExpiresAt time.Time
	UsedBy    string // the member that it admitted; "" before that
	UsedAt    time.Time
}

var joinTokenShape = shape[JoinToken]{
	kind:   recordJoinToken,
	name:   "join_token",
	key:    func(t *JoinToken) string { return t.ID },
	fields: joinTokenFields,
}

func joinTokenFields(v visitor, t *JoinToken) {
	v.text(1, "id", &t.ID)
	v.text(2, "name", &t.Name)
	v.moment(3, "expires_at", &t.ExpiresAt)
	v.text(4, "used_by", &t.UsedBy)
	v.moment(5, "", &t.UsedAt)
}

// PutJoinToken makes a join token known.
type PutJoinToken struct {
	Token JoinToken
}

func (c PutJoinToken) kind() kind      { return kindPutJoinToken }
func (c PutJoinToken) subject() string { return subject(joinTokenShape.name, c.Token.ID) }

func (c PutJoinToken) fields(v visitor) Command {
	v.group(1, "token", func() { joinTokenFields(v, &c.Token) })
	return c
}

// Validate wants an ID, a name and an end, and a token that was not used.
func (c PutJoinToken) Validate() error {
	if err := validateMemberID(c.Token.ID); err != nil {
		return err
	}
	if c.Token.ExpiresAt.IsZero() {
		return errors.New("a join token has no end: say until when it is good")
	}
	if c.Token.UsedBy != "" || !c.Token.UsedAt.IsZero() {
		return errors.New("a new join token was used already")
	}
	return validateMemberName(c.Token.Name)
}

func (c PutJoinToken) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	d.forgetJoinTokens()
	switch {
	case d.joinTokens.get(c.Token.ID) != nil:
		return broker.Refuse(broker.AlreadyExists, "join token %.12s exists already", c.Token.ID)
	case d.joinTokens.count() >= MaxJoinTokens:
		return broker.Refuse(broker.ResourceExhausted, "there are %d join tokens already: they are forgotten a day after their end", d.joinTokens.count())
	}
	for _, m := range d.membersLeft("") {
		if m.Name == c.Token.Name {
			return broker.Refuse(broker.AlreadyExists, "a member is named %s already: remove it first, or choose another name", m.Name)
		}
	}
	token := c.Token
	d.joinTokens.put(d, &token)
	d.change.Members = true
	return nil
}

// forgetJoinTokens drops a few that ended long ago.
func (d *draft) forgetJoinTokens() {
	var old []*JoinToken
	for t := range d.joinTokens.from("") {
		if d.act.At.Sub(t.ExpiresAt) > joinTokenMemory && len(old) < forgetAtOnce {
			old = append(old, t)
		}
	}
	for _, t := range old {
		d.joinTokens.drop(d, t)
	}
}

// AdmitMember uses a join token up, for one node.
type AdmitMember struct {
	Token  string // its ID
	Member Member
}

func (c AdmitMember) kind() kind      { return kindAdmitMember }
func (c AdmitMember) subject() string { return subject(memberShape.name, c.Member.ID) }

func (c AdmitMember) fields(v visitor) Command {
	v.text(1, "token", &c.Token)
	v.group(2, "member", func() { memberFields(v, &c.Member) })
	return c
}

// Validate says what is wrong with the member.
func (c AdmitMember) Validate() error {
	if err := validateMemberID(c.Token); err != nil {
		return errors.New("no join token was named")
	}
	return c.Member.Validate()
}

func (c AdmitMember) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	token, err := d.tokenFor(c)
	if err != nil {
		return err
	}
	if token.UsedBy != "" {
		return nil // the same node again: its answer was lost
	}
	if d.members.count() >= MaxMembers {
		return broker.Refuse(broker.ResourceExhausted, "the cluster has %d members already, the most is %d", d.members.count(), MaxMembers)
	}
	if err := d.nameIsFree(c.Member); err != nil {
		return err
	}
	used := *token
	used.UsedBy, used.UsedAt = c.Member.ID, d.act.At
	d.joinTokens.put(d, &used)
	member := c.Member
	member.JoinedAt = d.act.At
	d.members.put(d, &member)
	d.change.Members = true
	return nil
}

// tokenFor returns the token of c if it is good for c's node.
func (d *draft) tokenFor(c AdmitMember) (*JoinToken, error) {
	token := d.joinTokens.get(c.Token)
	switch {
	case token == nil:
		return nil, broker.Refuse(broker.NotFound, "the join token is not known: make one with concord cluster token")
	case d.removed.get(c.Member.ID) != nil:
		return nil, broker.Refuse(broker.PermissionDenied, "the node with key %.12s was removed from the cluster: its key is never admitted again, empty its data directory and join with a new token", c.Member.ID)
	case token.UsedBy == c.Member.ID:
		return token, nil
	case token.UsedBy != "":
		return nil, broker.Refuse(broker.FailedPrecondition, "the join token was used at %s: each is good for one node, make another with concord cluster token", stamp(token.UsedAt))
	case !d.act.At.Before(token.ExpiresAt):
		return nil, broker.Refuse(broker.FailedPrecondition, "the join token expired at %s: make another with concord cluster token", stamp(token.ExpiresAt))
	case token.Name != c.Member.Name:
		return nil, broker.Refuse(broker.InvalidArgument, "the join token is for a node named %s, not %s", token.Name, c.Member.Name)
	case d.members.get(c.Member.ID) != nil:
		return nil, broker.Refuse(broker.AlreadyExists, "the node with key %.12s is a member already", c.Member.ID)
	}
	return token, nil
}

// nameIsFree refuses a name that another member has.
func (d *draft) nameIsFree(m Member) error {
	for _, other := range d.membersLeft(m.ID) {
		if other.Name == m.Name {
			return broker.Refuse(broker.AlreadyExists, "another member is named %s: its key is %.12s; choose another node-name, or remove that member", other.Name, other.ID)
		}
	}
	return nil
}
