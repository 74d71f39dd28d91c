package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"strings"
)

// algorithm is how a token is signed (JWT-SVID §2.1).
type algorithm struct {
	hash crypto.Hash
	bits int  // ECDSA: the curve's size; 0 for RSA
	pss  bool // RSA: with PSS padding
}

// algorithms are all that a JWT-SVID may be signed with; names are
// case-sensitive (RFC 7515 §4.1.1).
var algorithms = map[string]algorithm{
	"ES256": {crypto.SHA256, 256, false},
	"ES384": {crypto.SHA384, 384, false},
	"ES512": {crypto.SHA512, 521, false},
	"RS256": {crypto.SHA256, 0, false},
	"RS384": {crypto.SHA384, 0, false},
	"RS512": {crypto.SHA512, 0, false},
	"PS256": {crypto.SHA256, 0, true},
	"PS384": {crypto.SHA384, 0, true},
	"PS512": {crypto.SHA512, 0, true},
}

// unverified is a token whose form is right and whose signature was not
// checked yet.
type unverified struct {
	alg       algorithm
	algName   string
	kid       string
	hasKID    bool
	payload   []byte
	signed    string // header.payload, as it was sent
	signature []byte
}

// strict refuses padding and stray bits, so that a token has one spelling.
var strict = base64.RawURLEncoding.Strict()

// parseToken takes a token apart. It costs at most MaxTokenBytes of reading.
func parseToken(token string) (unverified, error) {
	if len(token) > MaxTokenBytes {
		return unverified{}, fmt.Errorf("the token has %d bytes, the most is %d", len(token), MaxTokenBytes)
	}
	if strings.Count(token, ".") != 2 {
		return unverified{}, fmt.Errorf("the token has %d parts: a JWT-SVID is a JWS in compact form, three parts (JWT-SVID §5.1)", strings.Count(token, ".")+1)
	}
	last := strings.LastIndexByte(token, '.')
	head, body, _ := strings.Cut(token[:last], ".")
	header, err := decodePart(head, "header")
	if err != nil {
		return unverified{}, err
	}
	t := unverified{signed: token[:last]}
	if err := t.readHeader(header); err != nil {
		return unverified{}, err
	}
	if t.payload, err = decodePart(body, "claims"); err != nil {
		return unverified{}, err
	}
	if t.signature, err = decodePart(token[last+1:], "signature"); err != nil {
		return unverified{}, err
	}
	return t, nil
}

// decodePart is base64url without padding. Go's decoder skips line ends, a
// token has none.
func decodePart(part, name string) ([]byte, error) {
	if part == "" || strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("the token's %s is empty or not base64url", name)
	}
	out, err := strict.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("the token's %s is not base64url without padding", name)
	}
	return out, nil
}

func (t *unverified) readHeader(data []byte) error {
	header, err := decodeObject(data)
	if err != nil {
		return fmt.Errorf("the token's header: %w", err)
	}
	name, ok := header["alg"].(string)
	if !ok {
		return errors.New("the token's header has no alg that is a string")
	}
	if t.alg, ok = algorithms[name]; !ok {
		return fmt.Errorf("the token's algorithm %.20q is not one that a JWT-SVID may have (JWT-SVID §2.1)", name)
	}
	t.algName = name
	if typ, present := header["typ"]; present && typ != "JWT" && typ != "JOSE" {
		return errors.New("the token's typ is neither JWT nor JOSE (JWT-SVID §2.3)")
	}
	if _, present := header["crit"]; present {
		return errors.New("the token's header marks extensions as critical, and none is understood (RFC 7515 §4.1.11)")
	}
	kid, present := header["kid"]
	if !present {
		return nil
	}
	if t.kid, t.hasKID = kid.(string); !t.hasKID || t.kid == "" || len(t.kid) > MaxKIDBytes {
		return fmt.Errorf("the token's kid is not a string of 1 to %d bytes", MaxKIDBytes)
	}
	return nil
}

// verify returns the ID of the key in set that signed t. A key that cannot
// make signatures of t's algorithm is never used, whatever its ID.
func (t unverified) verify(set iter.Seq2[string, crypto.PublicKey]) (string, error) {
	hash := t.alg.hash.New()
	hash.Write([]byte(t.signed))
	digest := hash.Sum(nil)
	tried, named := 0, false
	for kid, key := range set {
		if t.hasKID && kid != t.kid {
			continue
		}
		named = true
		if !t.alg.fits(key) {
			continue
		}
		if tried++; tried > maxKeysTried {
			return "", fmt.Errorf("the token has no kid and the domain has more than %d keys that it could be from", maxKeysTried)
		}
		if t.alg.valid(key, digest, t.signature) {
			return kid, nil
		}
	}
	switch {
	case t.hasKID && !named:
		return "", fmt.Errorf("the token's key %.80q is not in the bundle", t.kid)
	case tried == 0:
		return "", fmt.Errorf("no key in the bundle can have made a signature of algorithm %s", t.algName)
	}
	return "", errors.New("the token's signature is wrong")
}

// fits reports whether key makes signatures of this algorithm: one curve each
// for ES, any RSA key for RS and PS (RFC 7518 §3.1).
func (a algorithm) fits(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return a.bits != 0 && k.Curve.Params().BitSize == a.bits
	case *rsa.PublicKey:
		return a.bits == 0
	}
	return false
}

func (a algorithm) valid(key crypto.PublicKey, digest, signature []byte) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		half := (a.bits + 7) / 8
		if len(signature) != 2*half {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(k, digest, r, s)
	case *rsa.PublicKey:
		if a.pss {
			return rsa.VerifyPSS(k, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(k, a.hash, digest, signature) == nil
	}
	return false
}
