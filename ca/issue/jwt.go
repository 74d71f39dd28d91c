package issue

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/concord-id/concord/ca"
)

// JWTKey is an opened JWT authority with its header already encoded. It is a
// value: whoever has it never changes it.
type JWTKey struct {
	id       string
	td       spiffeid.TrustDomain
	notAfter time.Time
	signer   crypto.Signer
	alg      algorithm
	header   string // base64url of the JOSE header, and its dot
}

// NewJWTKey pairs a JWT authority of td with its private key.
func NewJWTKey(td spiffeid.TrustDomain, a ca.Authority, signer crypto.Signer) (*JWTKey, error) {
	if id, err := ca.KeyID(signer.Public()); err != nil || id != a.ID {
		return nil, fmt.Errorf("the private key is not that of JWT authority %.80q", a.ID)
	}
	alg, err := algorithmOf(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("JWT authority %s: %w", a.ID, err)
	}
	// Only alg, kid and typ (JWT-SVID §2); an ID is hex and needs no escape.
	header := `{"alg":"` + alg.jws + `","kid":"` + a.ID + `","typ":"JWT"}`
	return &JWTKey{
		id: a.ID, td: td, notAfter: a.NotAfter, signer: signer, alg: alg,
		header: base64.RawURLEncoding.EncodeToString([]byte(header)) + ".",
	}, nil
}

// ID is the key's kid.
func (k *JWTKey) ID() string { return k.id }

// NotAfter is when its authority ends, and so the latest end of its tokens.
func (k *JWTKey) NotAfter() time.Time { return k.notAfter }

// JWTSVID signs what req asks for (JWT-SVID §3): aud, always an array, exp,
// iat and sub. It ends after req.TTL or with its authority. The error is
// ErrNotReady while there is nothing to sign with; otherwise it says what is
// wrong with the request.
func (i *Issuer) JWTSVID(req ca.JWTRequest, now time.Time) (ca.JWTSVID, error) {
	key, err := i.jwtKey(now)
	if err != nil {
		return ca.JWTSVID{}, err
	}
	if err := req.Validate(); err != nil {
		return ca.JWTSVID{}, err
	}
	if !req.ID.MemberOf(key.td) {
		return ca.JWTSVID{}, fmt.Errorf("%s is not in the trust domain %s, and no other is issued for here (SPIFFE-ID §4.1.2)", req.ID, key.td)
	}
	svid := ca.JWTSVID{
		ID:          req.ID,
		AuthorityID: key.id,
		IssuedAt:    now.UTC().Truncate(time.Second),
		ExpiresAt:   earliest(now.Add(req.TTL), key.notAfter).UTC().Truncate(time.Second),
	}
	if svid.Token, err = key.token(svid, req.Audience); err != nil {
		return ca.JWTSVID{}, fmt.Errorf("sign a JWT-SVID for %s: %w", req.ID, err)
	}
	return svid, nil
}

// token writes the claims by hand: a token costs one signature and little else.
func (k *JWTKey) token(svid ca.JWTSVID, audience []string) (string, error) {
	claims := make([]byte, 0, 512)
	claims = append(claims, `{"aud":[`...)
	for i, a := range audience {
		if i > 0 {
			claims = append(claims, ',')
		}
		claims = appendString(claims, a)
	}
	claims = append(claims, `],"exp":`...)
	claims = strconv.AppendInt(claims, svid.ExpiresAt.Unix(), 10)
	claims = append(claims, `,"iat":`...)
	claims = strconv.AppendInt(claims, svid.IssuedAt.Unix(), 10)
	claims = append(claims, `,"sub":`...)
	claims = appendString(claims, svid.ID.String())
	claims = append(claims, '}')

	token := make([]byte, 0, len(k.header)+2*len(claims)+512)
	token = append(token, k.header...)
	token = base64.RawURLEncoding.AppendEncode(token, claims)
	signature, err := k.alg.sign(k.signer, token)
	if err != nil {
		return "", err
	}
	if signature, err = k.alg.forJWS(signature); err != nil {
		return "", err
	}
	token = append(token, '.')
	token = base64.RawURLEncoding.AppendEncode(token, signature)
	if len(token) > ca.MaxTokenBytes {
		return "", fmt.Errorf("the token would have %d bytes and nobody here accepts more than %d: name fewer audiences", len(token), ca.MaxTokenBytes)
	}
	return string(token), nil
}

// forJWS turns an ASN.1 ECDSA signature into r and s side by side (RFC 7518
// §3.4); an RSA signature is as it is.
func (a algorithm) forJWS(signature []byte) ([]byte, error) {
	if a.half == 0 {
		return signature, nil
	}
	var body cryptobyte.String
	var r, s []byte
	in := cryptobyte.String(signature)
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !body.ReadASN1Integer(&r) || !body.ReadASN1Integer(&s) ||
		!body.Empty() || len(r) > a.half || len(s) > a.half {
		return nil, errors.New("the key made a signature that is not ECDSA's")
	}
	out := make([]byte, 2*a.half)
	copy(out[a.half-len(r):], r)
	copy(out[2*a.half-len(s):], s)
	return out, nil
}

const hexDigits = "0123456789abcdef"

// appendString appends s, which is UTF-8, as a JSON string (RFC 8259 §7).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
