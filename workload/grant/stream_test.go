package grant_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload/grant"
)

// host is a domain and the grants of one host of it, running until the test ends.
type host struct {
	*memdomain.Domain
	grants *grant.Grants
}

func newHost(t *testing.T) host {
	t.Helper()
	h := host{Domain: memdomain.New(t, "acme.example")}
	h.grants = grant.New(grant.Options{Source: h, Signer: h, Log: slog.New(slog.DiscardHandler)})
	h.Follow(h.grants.Changed)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.grants.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

// stream is an open subscription and what it has received.
type stream struct {
	t        *testing.T
	cancel   context.CancelFunc
	messages chan *grant.Message // closed when the stream ended
	err      error               // why, once messages is closed
	seen     *grant.Message      // by the test, last
}

// open subscribes; every message is put into the stream's channel.
func (h host) open(t *testing.T, kind grant.Kind, selectors []attest.Selector) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{t: t, cancel: cancel, messages: make(chan *grant.Message, 10000)}
	subscription, err := h.grants.Subscribe(selectors, kind)
	if err != nil {
		s.err = err
		close(s.messages)
		t.Cleanup(cancel)
		return s
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.messages)
		defer subscription.Close()
		for {
			m, err := subscription.Next(ctx)
			if err != nil {
				s.err = err
				return
			}
			s.messages <- m
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// next returns the message that came by now; the test fails if there is not
// exactly one.
func (s *stream) next() *grant.Message {
	s.t.Helper()
	synctest.Wait()
	select {
	case m, ok := <-s.messages:
		if !ok {
			s.t.Fatalf("the stream ended: %v", s.err)
		}
		s.silent()
		return m
	default:
		s.t.Fatal("no message came")
		return nil
	}
}

// silent fails the test if a message came.
func (s *stream) silent() {
	s.t.Helper()
	synctest.Wait()
	select {
	case m, ok := <-s.messages:
		if ok {
			s.t.Fatalf("a message of %d bytes came, and none was expected", m.Size())
		}
		s.t.Fatalf("the stream ended: %v", s.err)
	default:
	}
}

// ended fails the test if the stream is not ended by want.
func (s *stream) ended(want error) {
	s.t.Helper()
	synctest.Wait()
	select {
	case m, ok := <-s.messages:
		if ok {
			s.t.Fatalf("a message of %d bytes came instead of the end", m.Size())
		}
	default:
		s.t.Fatal("the stream has not ended")
	}
	if !errors.Is(s.err, want) {
		s.t.Fatalf("the stream ended with %v, want %v", s.err, want)
	}
}

// svids decodes an answer with SVIDs.
func svids(t *testing.T, m *grant.Message) *pb.X509SVIDResponse {
	t.Helper()
	var r pb.X509SVIDResponse
	decode(t, m, &r)
	return &r
}

func decode(t *testing.T, m *grant.Message, into proto.Message) {
	t.Helper()
	raw := m.Buffers().Materialize()
	if len(raw) != m.Size() {
		t.Fatalf("the message says that it has %d bytes and has %d", m.Size(), len(raw))
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	if len(into.ProtoReflect().GetUnknown()) > 0 {
		t.Fatal("the message has fields that the Workload API has not")
	}
}

// ids are the SPIFFE IDs of an answer, in order.
func ids(r *pb.X509SVIDResponse) []string {
	var out []string
	for _, s := range r.Svids {
		out = append(out, s.SpiffeId)
	}
	return out
}

// federated are the trust domains of an answer, sorted.
func federated(r *pb.X509SVIDResponse) []string {
	var out []string
	for td := range r.FederatedBundles {
		out = append(out, td)
	}
	slices.Sort(out)
	return out
}

// leaf is the certificate of an SVID.
func leaf(t *testing.T, s *pb.X509SVID) *x509.Certificate {
	t.Helper()
	certs, err := x509.ParseCertificates(s.X509Svid)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}
