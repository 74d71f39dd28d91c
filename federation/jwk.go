package federation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// jwk is the public key of a JWK (RFC 7518 §6, RFC 8037), as its members have it.
type jwk struct {
	kty       string
	crv, x, y string // EC; OKP has no y
	n, e      string // RSA
}

var curves = map[string]elliptic.Curve{
	"P-256": elliptic.P256(),
	"P-384": elliptic.P384(),
	"P-521": elliptic.P521(),
}

func knownCurve(kty, crv string) bool {
	if kty == "OKP" {
		return crv == "Ed25519"
	}
	return curves[crv] != nil
}

// sameKey reports whether a and b are the same public key.
func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// ktyOf returns the kty of a key, "" for a key that has none here.
func ktyOf(key crypto.PublicKey) string {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return "EC"
	case *rsa.PublicKey:
		return "RSA"
	case ed25519.PublicKey:
		return "OKP"
	}
	return ""
}

// decode returns the key, if it is one: a point is on its curve.
func (j jwk) decode() (crypto.PublicKey, error) {
	switch j.kty {
	case "EC":
		return j.decodeEC()
	case "RSA":
		return j.decodeRSA()
	case "OKP":
		return j.decodeOKP()
	}
	return nil, fmt.Errorf("kty %.40q is not known here", j.kty)
}

func (j jwk) decodeEC() (crypto.PublicKey, error) {
	curve := curves[j.crv]
	if curve == nil {
		return nil, fmt.Errorf("crv %.40q is no curve that is known here", j.crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed: both coordinates follow
	for _, c := range []struct{ name, text string }{{"x", j.x}, {"y", j.y}} {
		coordinate, err := unbase64(c.name, c.text)
		if err != nil {
			return nil, err
		}
		if len(coordinate) != size {
			return nil, fmt.Errorf("%s has %d bytes, a coordinate of %s has %d", c.name, len(coordinate), j.crv, size)
		}
		point = append(point, coordinate...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("x and y are no point of %s", j.crv)
	}
	return key, nil
}

func (j jwk) decodeRSA() (crypto.PublicKey, error) {
	n, err := unbase64("n", j.n)
	if err != nil {
		return nil, err
	}
	e, err := unbase64("e", j.e)
	if err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if modulus.Bit(0) == 0 {
		return nil, errors.New("n is even, so it is no RSA modulus")
	}
	if exponent.Bit(0) == 0 || exponent.BitLen() < 2 || exponent.BitLen() > 31 {
		return nil, fmt.Errorf("e must be an odd number from 3 to %d", math.MaxInt32)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func (j jwk) decodeOKP() (crypto.PublicKey, error) {
	if j.crv != "Ed25519" {
		return nil, fmt.Errorf("crv %.40q is no curve that is known here", j.crv)
	}
	x, err := unbase64("x", j.x)
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x has %d bytes, an Ed25519 key has %d", len(x), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), nil
}

func unbase64(name, text string) ([]byte, error) {
	if text == "" {
		return nil, fmt.Errorf("%s is missing", name)
	}
	out, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64url without padding", name)
	}
	return out, nil
}

// encode returns the members of key, which is one that decode could have returned.
func encode(key crypto.PublicKey) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil || curves[k.Params().Name] == nil {
			return jwk{}, fmt.Errorf("an EC key on curve %s cannot be in a bundle", k.Params().Name)
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		return jwk{kty: "EC", crv: k.Params().Name, x: b64(x), y: b64(y)}, nil
	case *rsa.PublicKey:
		return jwk{kty: "RSA", n: b64(k.N.Bytes()), e: b64(big.NewInt(int64(k.E)).Bytes())}, nil
	case ed25519.PublicKey:
		return jwk{kty: "OKP", crv: "Ed25519", x: b64(k)}, nil
	}
	return jwk{}, fmt.Errorf("a key of type %T cannot be in a bundle", key)
}
