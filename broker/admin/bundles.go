package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
)

func (s *server) listBundles(ctx context.Context, who broker.Caller, r *request) (any, error) {
	page, err := r.page()
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Bundles(ctx, who, page)
	if err != nil {
		return nil, err
	}
	out := client.Bundles{Bundles: []client.Bundle{}, Page: client.Page{Next: list.Next, Index: list.Index}}
	for _, p := range list.Items {
		short := showBundle(p)
		short.Document = nil
		out.Bundles = append(out.Bundles, short)
	}
	return out, nil
}

// getBundle shows the bundle of a trust domain; our own too.
func (s *server) getBundle(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	own, err := s.registrar.OwnBundle(ctx, who)
	if err == nil && own.Bundle.TrustDomain == td {
		return showBundle(own), nil
	}
	p, err := s.registrar.Bundle(ctx, who, td)
	if err != nil {
		return nil, err
	}
	return showBundle(p), nil
}

// setBundle takes a SPIFFE bundle document as the body.
func (s *server) setBundle(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	document, err := r.raw()
	if err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	b, err := readBundle(td, document)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.SetBundle(ctx, who, registrar.SetBundle{Bundle: b, DryRun: dry})
	return outcome(out, err, showBundle)
}

func readBundle(td spiffeid.TrustDomain, document []byte) (*federation.Bundle, error) {
	b, _, err := federation.Parse(td, document)
	if err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "the bundle of %s: %v", td.Name(), err)
	}
	return b, nil
}

// modes are what becomes of entries that federate with a deleted bundle.
var modes = map[string]registrar.DeleteMode{
	"": registrar.Restrict, "restrict": registrar.Restrict, "delete": registrar.DeleteThem, "dissociate": registrar.Dissociate,
}

func (s *server) deleteBundle(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	mode, ok := modes[r.query.Get("mode")]
	if !ok {
		return nil, broker.Refuse(broker.InvalidArgument, "mode=%.40s: write restrict, dissociate or delete", r.query.Get("mode"))
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.DeleteBundle(ctx, who, registrar.DeleteBundle{TrustDomain: td, Mode: mode, DryRun: dry})
	return outcome(out, err, showBundle)
}

func showBundle(p *federation.Published) client.Bundle {
	out := client.Bundle{
		TrustDomain: p.Bundle.TrustDomain.Name(), Sequence: p.Bundle.Sequence, RefreshHint: client.Duration(p.Bundle.Hint),
		X509: []client.Certificate{}, JWT: []client.JWTAuthority{}, Origin: p.Origin, UpdatedAt: p.UpdatedAt, Document: p.Document,
	}
	for _, c := range p.Bundle.X509 {
		sum := sha256.Sum256(c.Raw)
		out.X509 = append(out.X509, client.Certificate{
			ID: hex.EncodeToString(c.SubjectKeyId), Subject: c.Subject.String(), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			SHA256: hex.EncodeToString(sum[:]),
		})
	}
	for _, k := range p.Bundle.JWT {
		out.JWT = append(out.JWT, client.JWTAuthority{KeyID: k.ID, Kind: kindOf(k.Key)})
	}
	return out
}

func kindOf(key any) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "EC " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.Size()*8)
	}
	return fmt.Sprintf("%T", key)
}
