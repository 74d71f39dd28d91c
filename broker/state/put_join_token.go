package state

import "github.com/concord-id/concord/broker"

// PutJoinToken makes a join token known, and forgets an old one if there is no room.
type PutJoinToken struct {
	Token JoinToken
}

func (c PutJoinToken) kind() kind      { return kindPutJoinToken }
func (c PutJoinToken) subject() string { return subject(joinTokenShape.name, c.Token.ID) }

func (c PutJoinToken) fields(v visitor) Command {
	v.group(1, "token", func() { joinTokenFields(v, &c.Token) })
	return c
}

// Validate says what is wrong with the token.
func (c PutJoinToken) Validate() error { return c.Token.Validate() }

func (c PutJoinToken) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	d.makeRoom()
	switch {
	case !d.act.At.Before(c.Token.ExpiresAt):
		return broker.Refuse(broker.InvalidArgument, "the join token for %s ended at %s already", c.Token.Name, stamp(c.Token.ExpiresAt))
	case c.Token.ExpiresAt.Sub(d.act.At) > MaxJoinTokenTTL:
		return broker.Refuse(broker.InvalidArgument, "the join token for %s is good until %s, and the longest is %s", c.Token.Name, stamp(c.Token.ExpiresAt), MaxJoinTokenTTL)
	case d.joinTokens.get(c.Token.ID) != nil:
		return broker.Refuse(broker.AlreadyExists, "join token %.12s exists already", c.Token.ID)
	case d.joinTokens.count() >= MaxJoinTokens:
		return broker.Refuse(broker.ResourceExhausted, "there are %d join tokens already: they are forgotten a day after their end", d.joinTokens.count())
	}
	if m := d.memberNamed(c.Token.Name); m != nil {
		return broker.Refuse(broker.AlreadyExists, "a member is named %s already: remove it first, or choose another name", m.Name)
	}
	token := c.Token
	token.UsedBy, token.UsedAt = "", noTime
	d.joinTokens.put(d, &token)
	d.change.Members = true
	return nil
}

// makeRoom forgets one join token that ended long ago, where no more fit: a used
// one before others, and of those the one that ended first. A proposer whose clock
// is far ahead so takes away nothing while there is room, and then the one that is
// missed least.
func (d *draft) makeRoom() {
	if d.joinTokens.count() < MaxJoinTokens {
		return
	}
	var least *JoinToken
	for t := range d.joinTokens.from("") {
		if d.act.At.Sub(t.ExpiresAt) > joinTokenMemory && (least == nil || t.missedLess(least)) {
			least = t
		}
	}
	if least != nil {
		d.joinTokens.drop(d, least)
	}
}

// missedLess reports whether t is forgotten rather than other.
func (t *JoinToken) missedLess(other *JoinToken) bool {
	if used := t.UsedBy != ""; used != (other.UsedBy != "") {
		return used
	}
	return t.ExpiresAt.Before(other.ExpiresAt)
}
