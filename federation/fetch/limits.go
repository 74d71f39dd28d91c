package fetch

import (
	"cmp"
	"time"

	"github.com/concord-id/concord/federation"
)

// Limits bound one fetch. A field that is 0 has its default.
type Limits struct {
	Connect time.Duration // name and TCP connection, over all addresses of a host; 10 s
	TLS     time.Duration // handshake; 10 s
	Headers time.Duration // from the request's first byte to the last of the response's headers; 10 s
	// Grace and Floor bound the body's time: it may take Grace, and a second
	// more for each Floor bytes that came. 5 s and 8 KiB.
	Grace time.Duration
	Floor int
	Whole time.Duration // one poll with all its redirects; 60 s

	Body        int // bytes of a body, as sent and after inflation; federation.MaxBundleBytes
	HeaderBytes int // bytes of a response's headers, informational responses included; 32 KiB
	Hops        int // redirects followed in one poll; 5

	// KeepUpTo is the longest poll interval at which the connection is kept
	// for the next poll; 90 s. KeepFor is the longest that one is kept; 10 min.
	KeepUpTo time.Duration
	KeepFor  time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Connect:     cmp.Or(l.Connect, 10*time.Second),
		TLS:         cmp.Or(l.TLS, 10*time.Second),
		Headers:     cmp.Or(l.Headers, 10*time.Second),
		Grace:       cmp.Or(l.Grace, 5*time.Second),
		Floor:       cmp.Or(l.Floor, 8<<10),
		Whole:       cmp.Or(l.Whole, time.Minute),
		Body:        cmp.Or(l.Body, federation.MaxBundleBytes),
		HeaderBytes: cmp.Or(l.HeaderBytes, 32<<10),
		Hops:        cmp.Or(l.Hops, 5),
		KeepUpTo:    cmp.Or(l.KeepUpTo, 90*time.Second),
		KeepFor:     cmp.Or(l.KeepFor, 10*time.Minute),
	}
}

// wireBytes is the most that is read from one connection in one poll, in
// ciphertext: a handshake with a long chain, the headers, the body and the
// framing of both.
func (l Limits) wireBytes() int { return 512<<10 + l.HeaderBytes + 2*l.Body }
