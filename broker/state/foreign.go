package state

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// foreign is another domain's bundle.
type foreign struct {
	TrustDomain  spiffeid.TrustDomain
	Document     []byte
	UpdatedAt    time.Time
	UpdatedIndex uint64
	Origin       Origin

	bundle *federation.Published // not in the record: it follows from the others
}

var foreignShape = shape[foreign]{
	kind: recordBundle,
	name: "bundle",
	key:  func(f *foreign) string { return f.TrustDomain.Name() },
	fields: func(v visitor, f *foreign) {
		domain(v, 1, "trust_domain", &f.TrustDomain)
		v.blob(2, "document", &f.Document)
		v.moment(3, "", &f.UpdatedAt)
		v.count(4, "", &f.UpdatedIndex)
		word(v, 5, "origin", &f.Origin)
		v.derived("sequence", func() string { return strconv.FormatUint(f.bundle.Bundle.Sequence, 10) })
	},
}

// digest identifies the document.
func (f *foreign) digest() [sha256.Size]byte { return sha256.Sum256(f.Document) }

// encode makes f's other bytes from its document.
func (f *foreign) encode() error {
	b, _, err := federation.Parse(f.TrustDomain, f.Document)
	if err != nil {
		return err
	}
	published, err := federation.Publish(b)
	if err != nil {
		return err
	}
	published.UpdatedAt, published.UpdatedIndex, published.Origin = f.UpdatedAt, f.UpdatedIndex, string(f.Origin)
	f.bundle = published
	return nil
}

// setBundle makes or replaces a bundle.
func (d *draft) setBundle(before, after *foreign) {
	if before != nil {
		d.held.release(before.bundle.Bundle)
	}
	d.held.hold(after.bundle.Bundle)
	d.bundles.put(d, after)
	d.change.Bundles = append(d.change.Bundles, after.TrustDomain)
}

// dropBundle deletes a bundle.
func (d *draft) dropBundle(f *foreign) {
	d.held.release(f.bundle.Bundle)
	d.bundles.drop(d, f)
	d.change.Bundles = append(d.change.Bundles, f.TrustDomain)
}
