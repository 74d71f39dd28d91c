package fetch

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
)

// The parsers of what a peer sends, for the fuzz targets.

// Answer is what was taken from a response.
type Answer struct {
	Status               int
	Body                 []byte
	Location, ETag       string
	Reusable             bool
	MostBody, MostHeader int
}

// Receive reads a response by the default limits.
func Receive(response []byte) (Answer, error) {
	f := &fetcher{limits: Limits{}.withDefaults()}
	a, _, err := f.receive(bytes.NewReader(response), f.limits.Headers, func() {})
	if err != nil {
		return Answer{}, err
	}
	return Answer{a.status, a.body, a.location, a.etag, a.reusable, f.limits.Body, f.limits.HeaderBytes}, nil
}

// Request is the request for url that carries etag.
func Request(url, etag string) ([]byte, error) {
	l, err := locate(nil, url)
	if err != nil {
		return nil, err
	}
	return requestBytes(l, etag, true), nil
}

// ETagOf is the entity tag that a header carries.
func ETagOf(value string) string { return etagOf(http.Header{"Etag": {value}}) }

// Locate reads a redirect's target; it returns the URL for the network and for people.
func Locate(base, target string) (exact, shown, address string, err error) {
	from, err := locate(nil, base)
	if err != nil {
		return "", "", "", err
	}
	l, err := locate(from.url, target)
	if err != nil {
		return "", "", "", err
	}
	return l.url.String(), l.String(), l.address(), nil
}

// URINames reads the URI names of a subject alternative name extension.
func URINames(extension []byte) ([]string, error) {
	return uriNames(&x509.Certificate{Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: extension}}})
}
