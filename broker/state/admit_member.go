package state

import "github.com/concord-id/concord/broker"

// AdmitMember uses a join token up, for one node. The same again, by the node
// that used it, is done already: its answer was lost.
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

// Validate says what is wrong with the token's ID or the member.
func (c AdmitMember) Validate() error {
	if err := validateKeyHash("a join token", c.Token); err != nil {
		return err
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
	case token.ExpiresAt.Sub(d.act.At) > MaxJoinTokenTTL:
		return nil, broker.Refuse(broker.FailedPrecondition, "the join token is good until %s, which is further off than any may be: a clock is wrong, of the node that made it or of the one that lets in", stamp(token.ExpiresAt))
	case token.Name != c.Member.Name:
		return nil, broker.Refuse(broker.InvalidArgument, "the join token is for a node named %s, not %s", token.Name, c.Member.Name)
	case d.members.get(c.Member.ID) != nil:
		return nil, broker.Refuse(broker.AlreadyExists, "the node with key %.12s is a member already", c.Member.ID)
	}
	return token, nil
}
