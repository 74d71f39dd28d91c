package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/concord-id/concord/federation"
)

// Bounds on what an asker may take. An answer is a few kilobytes, so nobody
// honest comes near them.
const (
	DefaultMaxConnections = 10_240

	headerTimeout = 5 * time.Second  // also that of the TLS handshake
	readTimeout   = 10 * time.Second // a whole request
	writeTimeout  = 30 * time.Second // a whole answer
	// idleTimeout outlives the longest pause of a poller that keeps its connection.
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 8 << 10
	shutdownGrace  = 3 * time.Second
)

// Options are what a Server needs.
type Options struct {
	Handler http.Handler
	// Certificate returns the certificate to present now. It is asked at every
	// handshake. For https_spiffe it is an X509-SVID with the endpoint's ID, the same on all
	// nodes (FD-17, FD-18).
	Certificate func() (*tls.Certificate, error)
	// Profile is the one that this listener serves.
	Profile federation.Profile
	// MaxConnections at once; 0: DefaultMaxConnections. One more closes the one that has been idle longest.
	MaxConnections int
	Log            *slog.Logger // failed handshakes and the like, at debug level
}

// Server is the HTTPS side of the endpoint.
type Server struct {
	http  *http.Server
	crowd *crowd
}

// NewServer makes a Server. It starts nothing.
func NewServer(o Options) *Server {
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	s := &Server{crowd: newCrowd(o.MaxConnections)}
	s.http = &http.Server{
		Handler:           o.Handler,
		TLSConfig:         tlsConfig(o),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         s.crowd.changed,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 16,
			MaxReadFrameSize:     16 << 10,
			// Requests have no bodies worth a buffer; 64 KiB is the least that HTTP/2 allows.
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               time.Minute,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              writeTimeout,
		},
	}
	return s
}

// tlsConfig follows Mozilla's intermediate configuration (FD-7) and asks for no
// client certificate (FD-11). With https_spiffe there are no session tickets: a resumed
// session would skip the check of a certificate whose authority is gone meanwhile.
func tlsConfig(o Options) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences:       []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		ClientAuth:             tls.NoClientCert,
		NextProtos:             []string{"h2", "http/1.1"},
		SessionTicketsDisabled: o.Profile == federation.HTTPSSPIFFE,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return o.Certificate()
		},
	}
}

// Serve answers on l until ctx ends, then lets the requests in flight finish
// for a moment and returns nil. It returns an error if l fails. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	failed := make(chan error, 1) // so that the goroutine ends even if nobody reads
	go func() { failed <- s.http.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the bundle endpoint on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := s.http.Shutdown(grace)
	if err != nil {
		err = s.http.Close()
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Connections returns what became of the connections since the Server was made.
func (s *Server) Connections() Connections { return s.crowd.counts() }
