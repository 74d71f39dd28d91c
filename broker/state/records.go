package state

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// The fields of the words' types. Commands and records that hold one visit it
// by the same function.

func selectorFields(v visitor, s *attest.Selector) {
	shared(v, 1, "type", &s.Type)
	shared(v, 2, "value", &s.Value)
}

func domainFields(v visitor, td *spiffeid.TrustDomain) { domain(v, 1, "trust_domain", td) }

func nameFields(v visitor, name *string) { v.text(1, "name", name) }

func asIs(text string) string { return text }

func workloadFields(v visitor, e *workload.Entry) {
	v.text(1, "id", &e.ID)
	identity(v, 2, "spiffe_id", &e.SPIFFEID, visitor.text)
	identity(v, 3, "parent_id", &e.ParentID, shared)
	list(v, 4, "selectors", attest.MaxSelectors, &e.Selectors, selectorFields, attest.Selector.String)
	list(v, 5, "federates_with", workload.MaxFederatesWith, &e.FederatesWith, domainFields, spiffeid.TrustDomain.Name)
	v.span(6, "x509_svid_ttl", &e.X509TTL)
	v.span(7, "jwt_svid_ttl", &e.JWTTTL)
	list(v, 8, "dns_names", workload.MaxDNSNames, &e.DNSNames, nameFields, asIs)
	v.text(9, "hint", &e.Hint)
	v.flag(10, "admin", &e.Admin)
	v.flag(11, "downstream", &e.Downstream)
	v.flag(12, "store_svid", &e.StoreSVID)
	v.moment(13, "expires_at", &e.ExpiresAt)
	v.moment(14, "", &e.CreatedAt)
	v.count(15, "revision", &e.Revision)
}

var entryShape = shape[workload.Entry]{
	kind:   recordEntry,
	name:   "entry",
	key:    func(e *workload.Entry) string { return e.ID },
	fields: workloadFields,
}

func relationshipFields(v visitor, r *federation.Relationship) {
	domain(v, 1, "trust_domain", &r.TrustDomain)
	v.text(2, "url", &r.URL)
	word(v, 3, "profile", &r.Profile)
	identity(v, 4, "endpoint_id", &r.EndpointID, visitor.text)
	v.blob(5, "roots", &r.Roots)
	v.moment(6, "", &r.CreatedAt)
	v.count(7, "revision", &r.Revision)
}

var relationshipShape = shape[federation.Relationship]{
	kind:   recordRelationship,
	name:   "relationship",
	key:    func(r *federation.Relationship) string { return r.TrustDomain.Name() },
	fields: relationshipFields,
}

func authorityFields(v visitor, a *ca.Authority) {
	v.text(1, "id", &a.ID)
	small(v, 2, "use", &a.Use, ca.Use.String)
	word(v, 3, "key_type", &a.KeyType)
	small(v, 4, "status", &a.Status, ca.Status.String)
	v.flag(5, "tainted", &a.Tainted)
	v.blob(6, "public", &a.Public)
	v.secret(7, "sealed", &a.Sealed)
	v.moment(8, "not_before", &a.NotBefore)
	v.moment(9, "not_after", &a.NotAfter)
	v.moment(10, "", &a.PreparedAt)
	v.moment(11, "", &a.ActivatedAt)
	v.moment(12, "", &a.OldAt)
	v.moment(13, "vouches_until", &a.VouchesUntil)
	v.span(14, "largest_hint", &a.LargestHint)
}

var authorityShape = shape[ca.Authority]{
	kind:   recordAuthority,
	name:   "authority",
	key:    func(a *ca.Authority) string { return authorityKey(a.Use, a.ID) },
	fields: authorityFields,
}

func authorityKey(use ca.Use, id string) string { return use.String() + "/" + id }

func settingsFields(v visitor, s *Settings) {
	v.span(1, "refresh_hint", &s.RefreshHint)
	v.span(2, "publication_window", &s.PublicationWindow)
	v.span(3, "x509_svid_ttl", &s.X509TTL)
	v.span(4, "jwt_svid_ttl", &s.JWTTTL)
	v.span(5, "intermediate_ttl", &s.IntermediateTTL)
	v.span(6, "root_ttl", &s.RootTTL)
}

func agentFields(v visitor, a *Agent) {
	identity(v, 1, "id", &a.ID, visitor.text)
	shared(v, 2, "method", &a.Method)
	list(v, 3, "selectors", attest.MaxSelectors, &a.Selectors, selectorFields, attest.Selector.String)
	v.text(4, "cert_serial", &a.CertSerial)
	v.moment(5, "cert_not_after", &a.CertNotAfter)
	v.moment(6, "attested_at", &a.AttestedAt)
	v.flag(7, "banned", &a.Banned)
	shared(v, 8, "version", &a.Version)
}

var agentShape = shape[Agent]{
	kind:   recordAgent,
	name:   "agent",
	key:    func(a *Agent) string { return a.ID.String() },
	fields: agentFields,
}

// home is the domain, and what its settings were.
type home struct {
	Domain
	// PastHint is the largest refresh hint served before the current one that
	// somebody may still act on, until PastHintUntil.
	PastHint      time.Duration
	PastHintUntil time.Time
}

var homeShape = shape[home]{
	kind: recordDomain,
	name: "domain",
	key:  func(*home) string { return "" },
	fields: func(v visitor, h *home) {
		v.text(1, "cluster_id", &h.ClusterID)
		domain(v, 2, "trust_domain", &h.TrustDomain)
		v.moment(3, "", &h.CreatedAt)
		v.group(4, "settings", func() { settingsFields(v, &h.Settings) })
		v.span(5, "", &h.PastHint)
		v.moment(6, "", &h.PastHintUntil)
	},
}
