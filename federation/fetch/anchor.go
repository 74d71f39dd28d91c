package fetch

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// setByHand is what to do when what we hold cannot authenticate a peer.
const setByHand = "get the domain's current bundle from its operator and set it with `concord bundle set`"

// anchor is what authenticates a relationship's endpoint, as it was when a poll
// began. It is a value.
type anchor struct {
	profile federation.Profile
	id      spiffeid.ID        // https_spiffe: who must answer
	bundle  *federation.Bundle // https_spiffe: the bundle of id's trust domain
	digest  [sha256.Size]byte  // https_spiffe: of the bundle's document
	roots   []byte             // https_web: PEM; empty: the system's
}

// anchorOf returns what authenticates r's endpoint now: for https_spiffe the
// latest bundle that is stored of the endpoint's trust domain, whether that is
// the relationship's own or another's (SPIFFE Federation §5.2.2.2, §5.2.2.4).
func anchorOf(r federation.Relationship, view View) (anchor, error) {
	switch r.Profile {
	case federation.HTTPSWeb:
		return anchor{profile: r.Profile, roots: r.Roots}, nil
	case federation.HTTPSSPIFFE:
		td := r.EndpointID.TrustDomain()
		held := view.Bundle(td)
		if held == nil {
			return anchor{}, fmt.Errorf("no bundle of %s is held to authenticate the endpoint %s: %s", td.Name(), r.EndpointID, setByHand)
		}
		return anchor{profile: r.Profile, id: r.EndpointID, bundle: held.Bundle, digest: held.Digest}, nil
	}
	return anchor{}, fmt.Errorf("the relationship's profile %q is unknown: use https_web or https_spiffe", r.Profile)
}

// same reports whether both authenticate by the same material.
func (a anchor) same(b anchor) bool {
	return a.profile == b.profile && a.id == b.id && a.digest == b.digest && string(a.roots) == string(b.roots)
}

// config returns the TLS side of one new connection to host; the handshake sets
// end to when the first certificate of the verified chain ends. There is no
// session cache: a resumed session would go around what is verified here.
// HTTP/1.1 is the only protocol: one connection carries one request a poll.
func (a anchor) config(host string, end *time.Time) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: host,
		NextProtos: []string{"http/1.1"},
	}
	if a.profile == federation.HTTPSSPIFFE {
		config.InsecureSkipVerify = true // the Web's rules do not hold here, VerifyConnection applies SPIFFE's
		config.VerifyConnection = func(state tls.ConnectionState) (err error) {
			*end, err = verifySVID(state.PeerCertificates, a.id, a.bundle, time.Now())
			return err
		}
		return config, nil
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		*end = firstEnd(state.VerifiedChains[0]) // crypto/tls has verified the chain and the host's name
		return nil
	}
	if len(a.roots) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(a.roots) {
			return nil, errors.New("the relationship's roots hold no certificate: give the PEM of the CA that signs the endpoint's certificate")
		}
	}
	return config, nil
}
