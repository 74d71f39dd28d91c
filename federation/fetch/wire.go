package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// wire is one authenticated connection to an endpoint. It has no goroutine and
// no buffer of its own between requests, so that a kept one costs little and
// whatever a peer sends unasked stays in the kernel.
type wire struct {
	meter   *meter
	tls     *tls.Conn
	address string
	peer    *x509.Certificate
	until   time.Time // not reused from then on
	used    bool      // has answered a request before
}

// open connects to l and authenticates the endpoint by a. most bounds the
// address's class, see dialer.connect.
func (f *fetcher) open(ctx context.Context, l location, a anchor, most reach) (*wire, reach, error) {
	var end time.Time
	config, err := a.config(l.host, &end)
	if err != nil {
		return nil, most, err
	}
	conn, most, err := f.dialer.connect(ctx, l.host, l.port, most)
	if err != nil {
		return nil, most, err
	}
	m := &meter{Conn: conn, left: f.limits.wireBytes()}
	w := &wire{meter: m, tls: tls.Client(m, config), address: l.address()}
	if err := f.handshake(ctx, w); err != nil {
		_ = conn.Close()
		return nil, most, err
	}
	w.peer = w.tls.ConnectionState().PeerCertificates[0]
	w.until = time.Now().Add(f.limits.KeepFor)
	if end.Before(w.until) {
		w.until = end
	}
	return w, most, nil
}

func (f *fetcher) handshake(ctx context.Context, w *wire) error {
	if err := w.meter.phase(f.limits.TLS); err != nil {
		return transferError("in the TLS handshake with "+w.address, f.limits.TLS, err)
	}
	err := w.tls.HandshakeContext(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return handshakeError(w.address, f.limits.TLS, err)
	}
	return nil
}

// close ends the connection at once; no peer can hold it open.
func (w *wire) close() { _ = w.meter.Conn.Close() }

// errSilent is wrapped when a kept connection broke before any byte of an
// answer: the request is then sent again on a new one.
var errSilent = errors.New("the kept connection was gone")

// ask sends a GET for l on w and reads the whole answer. If ctx ends the
// connection is closed.
func (f *fetcher) ask(ctx context.Context, w *wire, l location, etag string, keep bool) (*answer, error) {
	stop := context.AfterFunc(ctx, w.close)
	defer stop()
	w.meter.left = f.limits.wireBytes()
	patience := f.limits.Headers
	if w.used {
		patience /= 4 // a firewall may have forgotten it; there is time to ask again
	}
	if err := w.meter.phase(patience); err != nil {
		return nil, w.silence(transferError("as the request was sent", patience, err))
	}
	if _, err := w.tls.Write(requestBytes(l, etag, keep)); err != nil {
		return nil, w.silence(transferError("as the request was sent", patience, err))
	}
	a, heard, err := f.receive(w.tls, patience, func() { w.meter.pace(f.limits.Grace, f.limits.Floor) })
	switch {
	case err != nil && !heard:
		return nil, w.silence(err)
	case err != nil:
		return nil, err
	case a.status == http.StatusRequestTimeout && w.used:
		return nil, w.silence(errors.New("it was idle too long for the peer"))
	}
	a.reusable = a.reusable && keep
	w.used = true
	return a, nil
}

// silence marks err as one that a new connection may cure.
func (w *wire) silence(err error) error {
	if w.used {
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return err
}

func requestBytes(l location, etag string, keep bool) []byte {
	req := &http.Request{
		Method: http.MethodGet,
		URL:    l.url,
		Host:   l.url.Host,
		Header: http.Header{
			"User-Agent":      {"concord"},
			"Accept":          {"application/json"},
			"Accept-Encoding": {"gzip"},
		},
		Close: !keep,
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	var b bytes.Buffer
	_ = req.Write(&b) // a bytes.Buffer takes everything, and the URL has a host
	return b.Bytes()
}
