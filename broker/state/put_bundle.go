package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
)

// PutBundle replaces another domain's bundle if the proposer saw the current
// one.
type PutBundle struct {
	TrustDomain spiffeid.TrustDomain
	Document    []byte            // canonical, passed the guard before proposal
	IfDocument  [sha256.Size]byte // SHA-256 of the document that it replaces; zero: there must be none
	Any         bool              // an operator overrides IfDocument
	Origin      Origin
}

// Origin is who brought a bundle.
type Origin string

// The origins of a bundle.
const (
	OriginOwn      Origin = "own"      // made by Apply
	OriginFetch    Origin = "fetch"    // from the endpoint of the relationship
	OriginOperator Origin = "operator" // by hand
)

func (c PutBundle) kind() kind      { return kindPutBundle }
func (c PutBundle) subject() string { return subject(foreignShape.name, c.TrustDomain.Name()) }

func (c PutBundle) fields(v visitor) Command {
	domain(v, 1, "trust_domain", &c.TrustDomain)
	v.blob(2, "document", &c.Document)
	sha(v, 3, "if_document", &c.IfDocument)
	v.flag(4, "any", &c.Any)
	word(v, 5, "origin", &c.Origin)
	return c
}

// Validate wants a canonical document: what Parse reads from it must give its
// very bytes again.
func (c PutBundle) Validate() error {
	switch {
	case c.TrustDomain.IsZero():
		return errors.New("the bundle is of no trust domain: it is never taken from the document")
	case c.Origin != OriginFetch && c.Origin != OriginOperator:
		return fmt.Errorf("a bundle comes from %q or %q, not from %.40q", OriginFetch, OriginOperator, c.Origin)
	case c.Any && c.Origin != OriginOperator:
		return errors.New("only an operator replaces a bundle without having seen it")
	}
	f := foreign{TrustDomain: c.TrustDomain, Document: c.Document}
	if err := f.encode(); err != nil {
		return fmt.Errorf("bundle of %s: %w", c.TrustDomain.Name(), err)
	}
	if !bytes.Equal(f.bundle.Document, c.Document) {
		return fmt.Errorf("bundle of %s is not in canonical form", c.TrustDomain.Name())
	}
	return nil
}

func (c PutBundle) apply(d *draft) error {
	if err := d.foreigner(c.TrustDomain, "a bundle"); err != nil {
		return err
	}
	before := d.bundles.get(c.TrustDomain.Name())
	if err := c.seen(d, before); err != nil {
		return err
	}
	if before != nil && bytes.Equal(before.Document, c.Document) {
		return nil
	}
	next := &foreign{TrustDomain: c.TrustDomain, Document: c.Document, UpdatedAt: d.act.At, UpdatedIndex: d.index, Origin: c.Origin}
	if err := next.encode(); err != nil {
		return broker.Refuse(broker.InvalidArgument, "bundle of %s: %v", c.TrustDomain.Name(), err)
	}
	if before != nil && c.Origin == OriginFetch && older(next, before) {
		return broker.Refuse(broker.FailedPrecondition, "bundle of %s: sequence %d is older than %d, which is held", c.TrustDomain.Name(), next.bundle.Bundle.Sequence, before.bundle.Bundle.Sequence)
	}
	if why := d.held.contested(next.bundle.Bundle); why != "" {
		return broker.Refuse(broker.FailedPrecondition, "bundle of %s: %s", c.TrustDomain.Name(), why)
	}
	d.setBundle(before, next)
	return nil
}

// seen refuses a proposer who did not see what is there now: the guard compared
// with something else. What was fetched under a relationship ends with it.
func (c PutBundle) seen(d *draft, current *foreign) error {
	td := c.TrustDomain.Name()
	if c.Origin == OriginFetch && d.relationships.get(td) == nil {
		return broker.Refuse(broker.FailedPrecondition, "bundle of %s: the relationship that it was fetched under has ended", td)
	}
	switch none := c.IfDocument == [sha256.Size]byte{}; {
	case c.Any:
		return nil
	case current == nil && !none:
		return broker.Refuse(broker.Aborted, "bundle of %s: it was deleted meanwhile", td)
	case current != nil && none:
		return broker.Refuse(broker.AlreadyExists, "bundle of %s: there is one already", td)
	case current != nil && current.digest() != c.IfDocument:
		return broker.Refuse(broker.Aborted, "bundle of %s: somebody replaced it meanwhile, read it again", td)
	}
	return nil
}

func older(next, before *foreign) bool {
	n, b := next.bundle.Bundle, before.bundle.Bundle
	return n.Sequenced && b.Sequenced && n.Sequence < b.Sequence
}
