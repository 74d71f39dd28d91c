package ca

import (
	"crypto"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bounds on a token that somebody presents (RELIABILITY §1 row 7).
const (
	MaxTokenBytes   = 16 << 10
	MaxKIDBytes     = 1 << 10
	maxKeysTried    = 64 // of a domain, for a token without kid
	maxClaimsNested = 16
)

// JWTLeeway is by how much a token may be past its end, or before its
// beginning, because clocks differ. It is also by how much X.509-SVIDs are
// backdated.
const JWTLeeway = 10 * time.Second

// JWTKeys returns the JWT authorities of a trust domain by key ID, and false
// if its bundle is not held. Only keys with use jwt-svid belong here (JWT-SVID
// §6.2).
type JWTKeys func(td spiffeid.TrustDomain) (iter.Seq2[string, crypto.PublicKey], bool)

// JWTClaims are what a verified JWT-SVID says.
type JWTClaims struct {
	ID        spiffeid.ID
	Audience  []string
	ExpiresAt time.Time
	IssuedAt  time.Time // zero: the token does not say
	NotBefore time.Time // zero: the token does not say
	KeyID     string    // of the authority that signed it
	// All are all claims as JSON values: string, float64, bool, nil, []any and
	// map[string]any.
	All map[string]any
}

// VerifyJWTSVID returns the claims of token if it is a JWT-SVID for audience
// that is valid at now and signed by an authority of its subject's trust
// domain (JWT-SVID §4). The error says why not, and never holds the token.
//
// The header's kid is optional: without one each key of the domain that can
// make the algorithm's signatures is tried. A crit header, a second claim of
// the same name and any algorithm outside RS, ES and PS with 256, 384 or 512
// are refused before a key is looked at.
func VerifyJWTSVID(token, audience string, keys JWTKeys, now time.Time) (JWTClaims, error) {
	if audience == "" {
		return JWTClaims{}, errors.New("no audience to validate the token for")
	}
	t, err := parseToken(token)
	if err != nil {
		return JWTClaims{}, err
	}
	claims, err := readClaims(t.payload)
	if err != nil {
		return JWTClaims{}, err
	}
	set, held := keys(claims.ID.TrustDomain())
	if !held {
		return JWTClaims{}, fmt.Errorf("the token is of trust domain %s, whose bundle is not held here", claims.ID.TrustDomain())
	}
	if claims.KeyID, err = t.verify(set); err != nil {
		return JWTClaims{}, fmt.Errorf("of trust domain %s: %w", claims.ID.TrustDomain(), err)
	}
	if err := claims.check(audience, now); err != nil {
		return JWTClaims{}, err
	}
	return claims, nil
}

// check holds the rules that need an audience and a clock (RFC 7519 §4.1).
func (c JWTClaims) check(audience string, now time.Time) error {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case !now.Before(c.ExpiresAt.Add(JWTLeeway)):
		return fmt.Errorf("the token ended at %s", at(c.ExpiresAt))
	case !c.NotBefore.IsZero() && c.NotBefore.After(now.Add(JWTLeeway)):
		return fmt.Errorf("the token is not valid before %s", at(c.NotBefore))
	case !c.IssuedAt.IsZero() && c.IssuedAt.After(now.Add(JWTLeeway)):
		return fmt.Errorf("the token says that it was issued at %s, which is yet to come", at(c.IssuedAt))
	case !slices.Contains(c.Audience, audience):
		return fmt.Errorf("the token is not for audience %.80q", audience)
	}
	return nil
}

// readClaims reads a token's payload. Nothing of it is true before the
// signature was checked.
func readClaims(payload []byte) (JWTClaims, error) {
	all, err := decodeObject(payload)
	if err != nil {
		return JWTClaims{}, fmt.Errorf("the token's claims: %w", err)
	}
	c := JWTClaims{All: all}
	sub, ok := all["sub"].(string)
	if !ok {
		return JWTClaims{}, errors.New("the token has no sub claim that is a string (JWT-SVID §3.1)")
	}
	if len(sub) > MaxIDBytes {
		return JWTClaims{}, fmt.Errorf("the token's subject has %d bytes, the most is %d", len(sub), MaxIDBytes)
	}
	if c.ID, err = spiffeid.FromString(sub); err != nil {
		return JWTClaims{}, fmt.Errorf("the token's subject %.80q is not a SPIFFE ID: %w", sub, err)
	}
	if c.Audience, err = audienceOf(all["aud"]); err != nil {
		return JWTClaims{}, err
	}
	if c.ExpiresAt, err = timeOf(all, "exp"); err != nil {
		return JWTClaims{}, err
	}
	if c.ExpiresAt.IsZero() {
		return JWTClaims{}, errors.New("the token has no exp claim (JWT-SVID §3.3)")
	}
	if c.NotBefore, err = timeOf(all, "nbf"); err != nil {
		return JWTClaims{}, err
	}
	if c.IssuedAt, err = timeOf(all, "iat"); err != nil {
		return JWTClaims{}, err
	}
	return c, nil
}

// audienceOf reads aud: a string or an array of strings (RFC 7519 §4.1.3).
func audienceOf(value any) ([]string, error) {
	switch aud := value.(type) {
	case string:
		if aud != "" {
			return []string{aud}, nil
		}
	case []any:
		all := make([]string, 0, len(aud))
		for _, a := range aud {
			s, ok := a.(string)
			if !ok || s == "" {
				return nil, errors.New("the token's aud claim has an element that is empty or not a string")
			}
			all = append(all, s)
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return nil, errors.New("the token has no audience (JWT-SVID §3.2)")
}

// maxSeconds is the end of the year 9999, past which no time is written.
const maxSeconds = 253402300799

// timeOf reads a NumericDate, whole or fractional (RFC 7519 §2); zero if the
// claim is absent.
func timeOf(claims map[string]any, name string) (time.Time, error) {
	value, present := claims[name]
	if !present {
		return time.Time{}, nil
	}
	seconds, ok := value.(float64)
	if !ok || seconds < 0 || seconds > maxSeconds {
		return time.Time{}, fmt.Errorf("the token's %s claim is not a number of seconds since 1970 (RFC 7519 §2)", name)
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), nil
}
