package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What goes wrong is told in our own words. An error of the network, of TLS or
// of HTTP never reaches a person as it is: some quote what the peer sent, and a
// fetch that was led astray would so show what an internal service answers.

// resolveError says why a name has no address.
func resolveError(host string, err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("DNS does not know %s: check the host in the URL", host)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
		return fmt.Errorf("DNS did not answer in time for %s: check this node's resolver", host)
	}
	return fmt.Errorf("DNS failed for %s: check this node's resolver", host)
}

// connectError says why no connection to target came up.
func connectError(target string, limit time.Duration, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return target + " refused the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to " + target
	case errors.Is(err, context.Canceled):
		return "the connection to " + target + " was abandoned"
	case isTimeout(err):
		return fmt.Sprintf("%s did not answer within %s", target, limit.Round(time.Millisecond))
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "this node has no file descriptor left to connect to " + target
	}
	return "connecting to " + target + " failed"
}

// handshakeError says why a TLS handshake with address failed.
func handshakeError(address string, limit time.Duration, err error) error {
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	alert := ""
	if errors.As(err, &op) && op.Op == "remote error" { // how crypto/tls wraps an alert that it received
		alert = strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("%s does not speak TLS: check the port in the URL", address)
	case errors.As(err, &verification):
		return chainError(verification.Err, "no CA that this relationship trusts signed it: give the relationship that CA's certificate as its roots, or no roots to trust the CAs of this system")
	case alert == "no application protocol":
		return fmt.Errorf("%s does not speak HTTP/1.1 over TLS", address)
	case alert != "":
		return fmt.Errorf("%s ended the TLS handshake: %s", address, alert)
	case isTransport(err):
		return transferError("in the TLS handshake with "+address, limit, err)
	}
	return fmt.Errorf("the TLS handshake with %s failed: %s", address, printable(strings.TrimPrefix(err.Error(), "tls: "), 160))
}

// chainError says what is wrong with the chain that a peer presented. unknown
// is said when nothing trusted signed it.
func chainError(err error, unknown string) error {
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var system x509.SystemRootsError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return validityError(invalid.Cert)
	case errors.As(err, &authority):
		return fmt.Errorf("the peer's certificate is not trusted, %s", unknown)
	case errors.As(err, &host):
		return fmt.Errorf("the peer's certificate is for %s, not for %s", namesOf(host.Certificate), host.Host)
	case errors.As(err, &system):
		return errors.New("this node has no system CA certificates: install them, or give the relationship the CA's certificate as its roots")
	}
	return fmt.Errorf("the peer's certificate chain is not valid: %s", printable(strings.TrimPrefix(err.Error(), "x509: "), 200))
}

func validityError(c *x509.Certificate) error {
	if now := time.Now(); c != nil && now.Before(c.NotBefore) {
		return fmt.Errorf("a certificate of the peer's chain is valid only from %s: is a clock wrong?", c.NotBefore.UTC().Format(time.RFC3339))
	}
	if c == nil {
		return errors.New("a certificate of the peer's chain expired")
	}
	return fmt.Errorf("a certificate of the peer's chain expired on %s: the peer must renew it", c.NotAfter.UTC().Format(time.RFC3339))
}

// namesOf returns the first names that a server certificate is for.
func namesOf(c *x509.Certificate) string {
	var names []string
	for _, n := range c.DNSNames {
		names = append(names, printable(n, 80))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0:
		return "no host (a common name does not count)"
	case len(names) > 3:
		return strings.Join(names[:3], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// isTimeout reports whether err is a deadline's, ours or the kernel's.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool } // net.Error, context.DeadlineExceeded, syscall.ETIMEDOUT
	return errors.As(err, &timeout) && timeout.Timeout()
}

// isTransport reports whether err is of the connection and not of its content.
func isTransport(err error) bool {
	var op *net.OpError
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, context.Canceled,
		syscall.ECONNRESET, syscall.EPIPE, errTooMuch} {
		if errors.Is(err, target) {
			return true
		}
	}
	return isTimeout(err) || errors.As(err, &op)
}

// transferError says why a conversation broke while doing something.
func transferError(doing string, limit time.Duration, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case isTimeout(err):
		return fmt.Errorf("the peer did not answer within %s %s", limit, doing)
	case errors.Is(err, errTooMuch):
		return fmt.Errorf("%w %s", errTooMuch, doing)
	case isTransport(err):
		return fmt.Errorf("the peer closed the connection %s", doing)
	}
	return fmt.Errorf("the peer did not speak HTTP/1.1 %s", doing)
}

// statusInWords names a status code; the peer's own words for it are not used.
func statusInWords(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("status %d (%s)", code, text)
	}
	return fmt.Sprintf("status %d", code)
}

// bytesInWords writes n bytes for people.
func bytesInWords(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// quoted is what a message quotes, in either kind of quotes.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)

// documentWords may be quoted: they are ours, not the document's.
var documentWords = []string{`"keys"`, `"spiffe_sequence"`, `"spiffe_refresh_hint"`}

// documentError says that a document is no bundle and where. What a message of
// the parser quotes of the document is left out.
func documentError(p *parcel, err error) error {
	what := quoted.ReplaceAllStringFunc(err.Error(), func(q string) string {
		if slices.Contains(documentWords, q) {
			return q
		}
		return "…"
	})
	return fmt.Errorf("%s: the peer does not serve a bundle: %s", p.shown, printable(what, 300))
}
