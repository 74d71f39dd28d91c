package federation

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
)

// The values of use that this parser knows. They are case-sensitive (Trust
// Domain and Bundle §4.2.2).
const (
	useX509 = "x509-svid"
	useJWT  = "jwt-svid"
)

// Members of a JWK that hold the private half, or a secret, of any kind of key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// publicMembers are what a public JWK is made of, as far as we read it.
var publicMembers = []string{"kty", "use", "kid", "crv", "x", "y", "n", "e", "x5c"}

// element is one element of keys. Its syntax is checked first, and what its
// members say only when it is known which of them matter.
type element struct {
	*parser
	index  int
	offset int
	values map[string]int // where the value of a member that we know begins
	secret string         // the first member that should never leave its owner
}

func (e *element) read() error {
	if e.peek() != '{' {
		return e.fail(e.at, "a JWK must be an object")
	}
	err := e.object(func(name []byte) error {
		e.peek()
		switch n := string(name); {
		case slices.Contains(publicMembers, n):
			e.values[n] = e.at
		case e.secret == "" && slices.Contains(privateMembers, n):
			e.secret = n
		}
		return e.skip()
	})
	if err != nil {
		return err
	}
	return e.decide()
}

// decide takes the element into the bundle, ignores it or refuses the document.
func (e *element) decide() error {
	kty, use := e.known("kty"), e.known("use")
	switch {
	case kty != "EC" && kty != "RSA" && kty != "OKP":
		return e.ignore("its kty %.40q is not known here (EC, RSA and OKP are)", kty)
	case use != useX509 && use != useJWT:
		return e.ignore("its use %.40q is not known here (%s and %s are)", use, useX509, useJWT)
	case e.secret != "":
		return e.alarm("it holds %q, a part of the private key: whoever reads the bundle can sign with it", e.secret)
	case kty != "RSA" && !knownCurve(kty, e.known("crv")) && e.has("crv"):
		return e.ignore("its curve %.40q is not known here", e.known("crv"))
	case use == useX509:
		return e.x509(kty)
	}
	return e.jwt(kty)
}

func (e *element) x509(kty string) error {
	der, err := e.certificate()
	if err != nil || der == nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return e.fail(e.values["x5c"], "the certificate in x5c: %v", err)
	}
	if err := e.matches(kty, cert.PublicKey); err != nil {
		return err
	}
	if err := CheckX509Authority(cert); err != nil {
		return e.alarm("%v", err)
	}
	for _, other := range e.bundle.X509 {
		if other.Equal(cert) {
			return e.ignore("it repeats a certificate")
		}
	}
	e.bundle.X509 = append(e.bundle.X509, cert)
	return nil
}

// certificate returns the first value of x5c; the others do not count (XS-30).
// It returns nil if there is none, and the element is then ignored (XS-29).
func (e *element) certificate() ([]byte, error) {
	at, ok := e.values["x5c"]
	if !ok || e.doc[at] == 'n' {
		return nil, e.ignore("it has no x5c, so no certificate")
	}
	if e.doc[at] != '[' {
		return nil, e.fail(at, "x5c must be an array of certificates")
	}
	r := reader{doc: e.doc, at: at + 1}
	switch r.peek() {
	case ']':
		return nil, e.ignore("its x5c is empty, so it has no certificate")
	case '"':
	default:
		return nil, e.fail(r.at, "x5c[0] must be a string")
	}
	at = r.at
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, e.ignore("its x5c[0] is empty, so it has no certificate")
	}
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(der, text)
	if err != nil {
		return nil, e.fail(at, "x5c[0] is not base64 (the standard alphabet, with padding)")
	}
	return der[:n], nil
}

// matches makes sure that the element's own key, as far as it has one, is the
// certificate's (RFC 7517 §4.7).
func (e *element) matches(kty string, certified crypto.PublicKey) error {
	if !e.has("n") && !e.has("e") && !e.has("x") && !e.has("y") {
		if kty != ktyOf(certified) {
			return e.fail(e.values["kty"], "kty is %s, the certificate's key is %T", kty, certified)
		}
		return nil
	}
	key, err := e.key(kty)
	if err != nil {
		return err
	}
	if !sameKey(key, certified) {
		return e.fail(e.offset, "the certificate in x5c has another public key than the JWK")
	}
	return nil
}

func (e *element) jwt(kty string) error {
	kid, err := e.text("kid")
	if err != nil {
		return err
	}
	if kid == "" {
		return e.alarm("it has no kid, so no token can name it (JWT-SVID §6.1)")
	}
	if other, ok := e.kids[kid]; ok {
		return e.fail(e.values["kid"], "kid %.80q is also that of keys[%d]: which of them counts is for nobody to guess", kid, other)
	}
	if e.kids == nil {
		e.kids = make(map[string]int)
	}
	e.kids[kid] = e.index
	key, err := e.key(kty)
	if err != nil {
		return err
	}
	authority := JWTAuthority{ID: kid, Key: key}
	if err := CheckJWTAuthority(authority); err != nil {
		return e.alarm("%v", err)
	}
	e.bundle.JWT = append(e.bundle.JWT, authority)
	return nil
}

// key decodes the public key.
func (e *element) key(kty string) (crypto.PublicKey, error) {
	j := jwk{kty: kty}
	for _, m := range []struct {
		name  string
		value *string
	}{{"crv", &j.crv}, {"x", &j.x}, {"y", &j.y}, {"n", &j.n}, {"e", &j.e}} {
		text, err := e.text(m.name)
		if err != nil {
			return nil, err
		}
		*m.value = text
	}
	key, err := j.decode()
	if err != nil {
		return nil, e.fail(e.offset, "%v", err)
	}
	return key, nil
}

func (e *element) has(name string) bool {
	_, ok := e.values[name]
	return ok
}

// known returns a member that is a string, "" if it is absent or anything else.
func (e *element) known(name string) string {
	at, ok := e.values[name]
	if !ok || e.doc[at] != '"' {
		return ""
	}
	text, _ := e.text(name)
	return text
}

// text returns the string that a member is, "" if it is absent.
func (e *element) text(name string) (string, error) {
	at, ok := e.values[name]
	if !ok {
		return "", nil
	}
	if e.doc[at] != '"' {
		return "", e.fail(at, "%s must be a string", name)
	}
	r := reader{doc: e.doc, at: at}
	text, err := r.text()
	return string(text), err
}

// ignore leaves the element out, as the specification tells.
func (e *element) ignore(format string, args ...any) error {
	e.ignored = append(e.ignored, Ignored{Key: e.index, Offset: e.offset, Reason: fmt.Sprintf(format, args...)})
	return nil
}

// alarm leaves the element out because it cannot be trusted.
func (e *element) alarm(format string, args ...any) error {
	_ = e.ignore(format, args...)
	e.ignored[len(e.ignored)-1].Alarm = true
	return nil
}
