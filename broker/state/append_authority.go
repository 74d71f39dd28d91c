package state

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// MaxKeyIDBytes bounds the ID of an authority that somebody else named.
const MaxKeyIDBytes = 255

// AppendAuthority publishes a key in our bundle that this cluster does not
// hold: that of a server which ran the trust domain before it, or runs beside
// it. It signs nothing here. It is old from the beginning and leaves when it
// ends, or is tainted and revoked as any other.
type AppendAuthority struct {
	Use      ca.Use
	ID       string    // X509: the certificate's subject key identifier in lower-case hex, or ca.KeyID if it has none; JWT: the kid
	Public   []byte    // as in ca.Authority
	NotAfter time.Time // X509: the certificate's end
}

func (c AppendAuthority) kind() kind { return kindAppendAuthority }

func (c AppendAuthority) subject() string {
	return subject(authorityShape.name, authorityKey(c.Use, c.ID))
}

func (c AppendAuthority) fields(v visitor) Command {
	small(v, 1, "use", &c.Use, ca.Use.String)
	v.text(2, "id", &c.ID)
	v.blob(3, "public", &c.Public)
	v.moment(4, "not_after", &c.NotAfter)
	return c
}

// Validate wants a public key, and for X.509 a CA's certificate of which ID and
// NotAfter tell the truth.
func (c AppendAuthority) Validate() error {
	if err := validateName(c.Use, c.ID); err != nil {
		return err
	}
	if len(c.ID) > MaxKeyIDBytes || !utf8.ValidString(c.ID) {
		return fmt.Errorf("the authority's ID %.40q is not UTF-8 of at most %d bytes", c.ID, MaxKeyIDBytes)
	}
	if c.NotAfter.IsZero() {
		return fmt.Errorf("%s authority %s has no end", c.Use, c.ID)
	}
	a := c.authority()
	if _, err := a.PublicKey(); err != nil || c.Use == ca.JWT {
		return err
	}
	cert, err := a.Certificate()
	if err != nil {
		return err
	}
	id, err := certificateID(cert)
	if err != nil {
		return err
	}
	return c.truth(cert, id)
}

// certificateID is how an authority with cert is named.
func certificateID(cert *x509.Certificate) (string, error) {
	id, err := ca.KeyID(cert.PublicKey)
	if err == nil && len(cert.SubjectKeyId) > 0 {
		id = hex.EncodeToString(cert.SubjectKeyId)
	}
	return id, err
}

func (c AppendAuthority) truth(cert *x509.Certificate, id string) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fmt.Errorf("the certificate of authority %s is not a CA's", c.ID)
	case id != c.ID:
		return fmt.Errorf("authority %s is not named by its certificate, which says %s", c.ID, id)
	case !cert.NotAfter.Equal(c.NotAfter):
		return fmt.Errorf("authority %s ends at %s and its certificate at %s", c.ID, stamp(c.NotAfter), stamp(cert.NotAfter))
	}
	return nil
}

func (c AppendAuthority) authority() ca.Authority {
	return ca.Authority{ID: c.ID, Use: c.Use, Status: ca.Old, Public: c.Public, NotAfter: c.NotAfter, VouchesUntil: c.NotAfter}
}

func (c AppendAuthority) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	if have := d.authorities.get(authorityKey(c.Use, c.ID)); have != nil {
		if bytes.Equal(have.Public, c.Public) {
			return nil
		}
		return broker.Refuse(broker.AlreadyExists, "%s authority %s exists already, with another key", c.Use, c.ID)
	}
	if err := c.put(d, h); err != nil {
		return err
	}
	if err := d.publish(h); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%s authority %s: %v", c.Use, c.ID, err)
	}
	return nil
}

// put puts the authority in, old from the beginning. Our bundle is not made anew.
func (c AppendAuthority) put(d *draft, h *home) error {
	switch {
	case !d.act.At.Before(c.NotAfter):
		return broker.Refuse(broker.InvalidArgument, "%s authority %s has ended at %s already", c.Use, c.ID, stamp(c.NotAfter))
	case len(d.authoritiesOf(c.Use)) >= MaxAuthoritiesPerUse:
		return broker.Refuse(broker.ResourceExhausted, "there are %d %s authorities already: revoke old ones first", MaxAuthoritiesPerUse, c.Use)
	}
	a := c.authority()
	if err := d.unheld(h, a); err != nil {
		return err
	}
	if key, err := a.PublicKey(); err == nil {
		a.KeyType, _ = ca.KeyTypeOf(key) // others may have kinds that we do not make
	}
	a.NotBefore, a.PreparedAt, a.OldAt = d.act.At, d.act.At, d.act.At
	d.authorities.put(d, &a)
	d.change.Authorities = true
	return nil
}
