package admin

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
)

func (s *server) listRelationships(ctx context.Context, who broker.Caller, r *request) (any, error) {
	page, err := r.page()
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Relationships(ctx, who, page)
	if err != nil {
		return nil, err
	}
	out := client.Relationships{Relationships: []client.Relationship{}, Page: client.Page{Next: list.Next, Index: list.Index}}
	for _, p := range list.Items {
		out.Relationships = append(out.Relationships, showPeer(p))
	}
	return out, nil
}

func (s *server) getRelationship(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	peer, err := s.registrar.Relationship(ctx, who, td)
	if err != nil {
		return nil, err
	}
	return showPeer(peer), nil
}

func (s *server) refresh(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	peer, err := s.registrar.Refresh(ctx, who, td)
	if err != nil {
		return nil, err
	}
	return showPeer(peer), nil
}

func (s *server) createRelationship(ctx context.Context, who broker.Caller, r *request) (any, error) {
	return s.putRelationship(ctx, who, r, registrar.MustNot, "")
}

func (s *server) setRelationship(ctx context.Context, who broker.Caller, r *request) (any, error) {
	name, err := r.segment("trust_domain")
	if err != nil {
		return nil, err
	}
	return s.putRelationship(ctx, who, r, registrar.MustAlready, name)
}

// putRelationship creates or replaces the relationship with the domain that
// the path names, if it names one, and otherwise the body. A revision in what
// is to replace one is the revision that it must have.
func (s *server) putRelationship(ctx context.Context, who broker.Caller, r *request, expect registrar.Exists, name string) (any, error) {
	var body struct {
		client.NewRelationship
		Revision *uint64 `json:"revision"` // that it must have; nil: any
	}
	if err := r.body(&body); err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	if name != "" && body.TrustDomain != "" && body.TrustDomain != name {
		return nil, broker.Refuse(broker.InvalidArgument, "trust_domain is %.255q, but the path says %.255q", body.TrustDomain, name)
	}
	if name != "" {
		body.TrustDomain = name
	}
	in, err := readRelationship(body.NewRelationship)
	if err != nil {
		return nil, err
	}
	in.Expect, in.DryRun = expect, dry
	if expect == registrar.MustNot {
		out, err := s.registrar.SetRelationship(ctx, who, in)
		return made(out, err, showRelationship, func(d client.Relationship) string { return client.Path("federation", d.TrustDomain) })
	}
	in.IfRevision = body.Revision
	out, err := s.registrar.SetRelationship(ctx, who, in)
	return outcome(out, err, showRelationship)
}

func readRelationship(d client.NewRelationship) (in registrar.SetRelationship, err error) {
	r := federation.Relationship{URL: d.URL, Profile: federation.Profile(d.Profile), Roots: []byte(d.Roots)}
	if r.TrustDomain, err = trustDomain("trust_domain", d.TrustDomain); err != nil {
		return in, err
	}
	if d.EndpointID != "" {
		if r.EndpointID, err = spiffeID("endpoint_id", d.EndpointID); err != nil {
			return in, err
		}
	}
	in.Relationship = r
	if len(d.Bundle) > 0 {
		in.Bundle, err = readBundle(r.TrustDomain, d.Bundle)
	}
	return in, err
}

func (s *server) deleteRelationship(ctx context.Context, who broker.Caller, r *request) (any, error) {
	td, err := r.trustDomain()
	if err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.DeleteRelationship(ctx, who, registrar.DeleteRelationship{TrustDomain: td, DryRun: dry})
	return outcome(out, err, showRelationship)
}

func showRelationship(r *federation.Relationship) client.Relationship {
	out := client.Relationship{
		TrustDomain: r.TrustDomain.Name(), URL: r.URL, Profile: string(r.Profile), Roots: string(r.Roots),
		CreatedAt: r.CreatedAt, Revision: r.Revision,
	}
	if r.EndpointID != (spiffeid.ID{}) {
		out.EndpointID = r.EndpointID.String()
	}
	return out
}

func showPeer(p registrar.Peer) client.Relationship {
	out := showRelationship(&p.Relationship)
	st := p.Status
	out.Status = client.RelationshipStatus{
		State: string(st.State), Sequence: st.Sequence, Age: client.Duration(st.Age), RefreshHint: client.Duration(st.Hint),
		LastSuccess: st.LastSuccess, LastAttempt: st.LastAttempt, LastError: st.LastError, NextPoll: st.NextPoll,
		Polls: st.Polls, Changes: st.Changes, Bytes: st.Bytes, Alarms: st.Alarms,
	}
	if out.Status.State == "" {
		out.Status.State = string(federation.StatePending)
	}
	if p.Bundle != nil {
		out.Status.Sequence = p.Bundle.Bundle.Sequence
		out.Status.X509, out.Status.JWT = len(p.Bundle.Bundle.X509), len(p.Bundle.Bundle.JWT)
	}
	return out
}
