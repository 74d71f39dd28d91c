package state

import (
	"fmt"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// publication is our own bundle's sequence. Its content follows from the
// authorities and the refresh hint.
type publication struct {
	Sequence     uint64
	UpdatedAt    time.Time
	UpdatedIndex uint64

	bundle *federation.Published // not in the record: it follows from the others
}

var publicationShape = shape[publication]{
	kind: recordPublication,
	name: "own_bundle",
	key:  func(*publication) string { return "" },
	fields: func(v visitor, p *publication) {
		v.count(1, "sequence", &p.Sequence)
		v.moment(2, "", &p.UpdatedAt)
		v.count(3, "", &p.UpdatedIndex)
	},
}

// publish makes our own bundle anew if its content is different, and only
// then, under the next sequence: one more than the last, or the proposer's
// Unix seconds if that is more.
func (d *draft) publish(h *home) error {
	b, err := d.ownBundle(h)
	if err != nil {
		return err
	}
	last := d.publication.get("")
	if last != nil {
		if b.Sequence = last.Sequence; b.Equal(last.bundle.Bundle) {
			return nil
		}
	}
	b.Sequence = nextSequence(b.Sequence, d.act.At)
	next := &publication{Sequence: b.Sequence, UpdatedAt: d.act.At, UpdatedIndex: d.index}
	if err := next.encode(b); err != nil {
		return err
	}
	if last != nil {
		d.held.release(last.bundle.Bundle)
	}
	d.held.hold(b)
	d.publication.put(d, next)
	d.change.Own = true
	return nil
}

// nextSequence is what follows last at the time at.
func nextSequence(last uint64, at time.Time) uint64 {
	return max(last+1, uint64(max(0, at.Unix())))
}

// ownBundle puts together what our bundle holds, still without its sequence:
// the public half of every authority, whatever its status, so that nothing is
// ever signed by one that is not in it.
func (d *draft) ownBundle(h *home) (*federation.Bundle, error) {
	b := &federation.Bundle{
		TrustDomain: h.TrustDomain,
		Sequenced:   true,
		Hint:        h.Settings.RefreshHint,
		Hinted:      true,
	}
	for a := range d.authorities.from("") {
		if a.Use == ca.X509 {
			cert, err := a.Certificate()
			if err != nil {
				return nil, err
			}
			b.X509 = append(b.X509, cert)
			continue
		}
		key, err := a.PublicKey()
		if err != nil {
			return nil, err
		}
		b.JWT = append(b.JWT, federation.JWTAuthority{ID: a.ID, Key: key})
	}
	return b, nil
}

// encode makes p's bytes from b.
func (p *publication) encode(b *federation.Bundle) error {
	published, err := federation.Publish(b)
	if err != nil {
		return fmt.Errorf("publish our own bundle: %w", err)
	}
	if n := len(published.Document); n > federation.MaxBundleBytes {
		return fmt.Errorf("our own bundle would have %d bytes, the most that others read is %d", n, federation.MaxBundleBytes)
	}
	published.UpdatedAt, published.UpdatedIndex, published.Origin = p.UpdatedAt, p.UpdatedIndex, string(OriginOwn)
	p.bundle = published
	return nil
}
