package admin

import (
	"bytes"
	"context"
	"encoding/pem"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) mintX509(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.MintX509
	if err := r.body(&body, "csr"); err != nil {
		return nil, err
	}
	csr, err := readCSR(body.CSR)
	if err != nil {
		return nil, err
	}
	svid, err := s.registrar.MintX509(ctx, who, registrar.MintX509{CSR: csr, TTL: time.Duration(body.TTL)})
	if err != nil {
		return nil, err
	}
	var chain bytes.Buffer
	for _, der := range svid.Certificates {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return client.X509SVID{SPIFFEID: svid.ID.String(), Chain: chain.String(), ExpiresAt: svid.NotAfter.UTC()}, nil
}

// readCSR takes a request to sign out of its PEM.
func readCSR(text string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, broker.Refuse(broker.InvalidArgument, "csr is not PEM: it begins with -----BEGIN CERTIFICATE REQUEST-----")
	case block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST":
		return nil, broker.Refuse(broker.InvalidArgument, "csr is a PEM block %.40q, want CERTIFICATE REQUEST", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, broker.Refuse(broker.InvalidArgument, "csr goes on after its PEM block: give one request")
	}
	return block.Bytes, nil
}

func (s *server) mintJWT(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.MintJWT
	if err := r.body(&body, "spiffe_id", "audience"); err != nil {
		return nil, err
	}
	id, err := spiffeID("spiffe_id", body.SPIFFEID)
	if err != nil {
		return nil, err
	}
	svid, err := s.registrar.MintJWT(ctx, who, registrar.MintJWT{ID: id, Audience: body.Audience, TTL: time.Duration(body.TTL)})
	if err != nil {
		return nil, err
	}
	return client.JWTSVID{SPIFFEID: id.String(), Token: svid.Token, ExpiresAt: svid.ExpiresAt.UTC()}, nil
}
