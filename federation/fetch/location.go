package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"

	"github.com/concord-id/concord/federation"
)

// location is where a bundle endpoint may be.
type location struct {
	url  *url.URL
	host string // lower case, without brackets and final dot
	port string
}

// locate reads the URL of an endpoint, as federation.ParseURL does. If base is
// not nil, text is a redirect's target and may be relative to base.
func locate(base *url.URL, text string) (location, error) {
	if base != nil {
		if len(text) > federation.MaxURLBytes {
			return location{}, fmt.Errorf("it has %d bytes, the most is %d", len(text), federation.MaxURLBytes)
		}
		u, err := base.Parse(text)
		if err != nil {
			return location{}, errors.New("it is no URL")
		}
		text = u.String()
	}
	u, err := federation.ParseURL(text)
	if err != nil {
		return location{}, err
	}
	l := location{url: u, host: strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port: u.Port()}
	if l.host == "" || strings.ContainsFunc(l.host, notInHost) {
		return location{}, errors.New("its host has characters that no host has: write an international name in its xn-- form")
	}
	if l.port == "" {
		l.port = "443"
	}
	return l, nil
}

func notInHost(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:", r)
}

// address is where a connection for l goes, before the name is resolved.
func (l location) address() string { return net.JoinHostPort(l.host, l.port) }

// String returns the URL for people: without its query, which may hold a
// secret, and bounded.
func (l location) String() string {
	shown := url.URL{Scheme: l.url.Scheme, Host: l.url.Host, Path: l.url.Path, RawPath: l.url.RawPath}
	text := shown.String()
	if l.url.RawQuery != "" || l.url.ForceQuery {
		text += "?…"
	}
	return printable(text, 200)
}

// printable returns s in at most most characters, without anything that could
// end a line or move a terminal's cursor.
func printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
