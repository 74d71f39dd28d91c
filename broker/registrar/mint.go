package registrar

import (
	"context"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/workload"
)

// MintX509 asks for an X.509-SVID outside of registration. The ID, the DNS
// names and the subject are those of the CSR; nothing else of it is taken.
type MintX509 struct {
	CSR []byte        // PKCS #10, DER
	TTL time.Duration // 0: the domain's default; bounded by the issuer's own end
}

// MintX509 signs an X.509-SVID that no entry stands for. It is in the log of
// this node, not in the audit trail: issuing writes nothing to the state.
func (r *Registrar) MintX509(ctx context.Context, who broker.Caller, in MintX509) (ca.X509SVID, error) {
	if err := may(who, "mint SVIDs", broker.RoleAdmin); err != nil {
		return ca.X509SVID{}, err
	}
	domain, err := r.domain()
	if err != nil {
		return ca.X509SVID{}, err
	}
	if len(in.CSR) == 0 {
		return ca.X509SVID{}, broker.Refuse(broker.InvalidArgument, "CSR is missing: send a PKCS #10 request in DER")
	}
	csr, err := ca.CheckCSR(in.CSR)
	if err != nil {
		return ca.X509SVID{}, invalid(err)
	}
	id, err := idOf(csr)
	if err != nil {
		return ca.X509SVID{}, invalid(err)
	}
	ttl, err := r.mintable(id, csr.DNSNames, in.TTL, domain.Settings.X509TTL)
	if err != nil {
		return ca.X509SVID{}, err
	}
	request := ca.X509Request{ID: id, PublicKey: csr.PublicKey, DNSNames: csr.DNSNames, TTL: ttl}
	if len(csr.RawSubject) > ca.MaxSubjectBytes {
		return ca.X509SVID{}, broker.Refuse(broker.InvalidArgument, "CSR's subject has %d bytes, the most is %d", len(csr.RawSubject), ca.MaxSubjectBytes)
	}
	if len(csr.Subject.Names) > 0 {
		request.Subject = &csr.Subject
	}
	if err := request.Validate(); err != nil {
		return ca.X509SVID{}, invalid(err)
	}
	svid, err := r.parts.Signer.X509SVID(request)
	if err != nil {
		return ca.X509SVID{}, notSigned(err)
	}
	r.parts.Log.InfoContext(ctx, "minted an X.509-SVID", "actor", who.Name, "cause", who.Cause, "spiffe_id", id.String(), "authority", svid.AuthorityID, "expires_at", svid.NotAfter)
	return svid, nil
}

// MintJWT asks for a JWT-SVID outside of registration.
type MintJWT struct {
	ID       spiffeid.ID
	Audience []string      // at least one
	TTL      time.Duration // 0: the domain's default; bounded by the longest that the domain or an entry has
}

// MintJWT signs a JWT-SVID that no entry stands for. The token is in no log.
func (r *Registrar) MintJWT(ctx context.Context, who broker.Caller, in MintJWT) (ca.JWTSVID, error) {
	if err := may(who, "mint SVIDs", broker.RoleAdmin); err != nil {
		return ca.JWTSVID{}, err
	}
	domain, err := r.domain()
	if err != nil {
		return ca.JWTSVID{}, err
	}
	ttl, err := r.mintable(in.ID, nil, in.TTL, domain.Settings.JWTTTL)
	if err != nil {
		return ca.JWTSVID{}, err
	}
	if ttl > domain.Settings.JWTTTL {
		// An authority that is replaced vouches for no token that lives longer.
		ttl = min(ttl, Terms(r.parts.Ledger.View(), r.parts.Staleness).JWTTTL)
	}
	request := ca.JWTRequest{ID: in.ID, Audience: in.Audience, TTL: ttl}
	if err := request.Validate(); err != nil {
		return ca.JWTSVID{}, invalid(err)
	}
	svid, err := r.parts.Signer.JWTSVID(request)
	if err != nil {
		return ca.JWTSVID{}, notSigned(err)
	}
	r.parts.Log.InfoContext(ctx, "minted a JWT-SVID", "actor", who.Name, "cause", who.Cause, "spiffe_id", in.ID.String(), "audience", in.Audience, "authority", svid.AuthorityID, "expires_at", svid.ExpiresAt)
	return svid, nil
}

// mintable holds what is minted to the rules of an entry, and returns its lifetime.
func (r *Registrar) mintable(id spiffeid.ID, dnsNames []string, ttl, otherwise time.Duration) (time.Duration, error) {
	domain, err := r.domain()
	if err != nil {
		return 0, err
	}
	like := workload.Entry{
		SPIFFEID:  id,
		Selectors: []attest.Selector{{Type: "mint", Value: "once"}},
		DNSNames:  dnsNames,
		X509TTL:   ttl,
	}.Canonical(domain.TrustDomain)
	like.DNSNames = dnsNames
	var field *workload.FieldError
	switch err := like.Validate(domain.TrustDomain); {
	case errors.As(err, &field):
		return 0, broker.Refuse(broker.InvalidArgument, "%s %s", field.Field, field.Problem)
	case err != nil:
		return 0, invalid(err)
	case ttl == 0:
		return otherwise, nil
	}
	return ttl, nil
}

// notSigned makes a refusal of what keeps a signer from signing.
func notSigned(err error) error {
	if errors.Is(err, ca.ErrNotReady) {
		return broker.Refuse(broker.Unavailable, "%v: try again, or ask another node", err)
	}
	return err
}
