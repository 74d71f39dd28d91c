package story

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"
	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// mine is the selector of the test's own process.
func mine() []*types.Selector {
	return []*types.Selector{{Type: "unix", Value: fmt.Sprint("uid:", os.Getuid())}}
}

// request is a CSR with a new key.
func request(t *testing.T, id spiffeid.ID) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id.URL()}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func spireID(n *world.Node, path string) *types.SPIFFEID {
	return &types.SPIFFEID{TrustDomain: n.TrustDomain.Name(), Path: path}
}

// fine fails the test unless each status is OK.
func fine[R interface{ GetStatus() *types.Status }](t *testing.T, results []R) {
	t.Helper()
	for i, r := range results {
		if s := r.GetStatus(); s.GetCode() != int32(codes.OK) {
			t.Fatalf("item %d: %s: %s", i, codes.Code(s.GetCode()), s.GetMessage())
		}
	}
}

func TestSPIREEntriesReachWorkloads(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	entries := entryv1.NewEntryClient(n.Dial("admin.sock"))
	created, err := entries.BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{
		{SpiffeId: spireID(n, "/billing"), Selectors: mine(), DnsNames: []string{"billing"}, X509SvidTtl: 600},
		{SpiffeId: spireID(n, "/other"), Selectors: []*types.Selector{{Type: "unix", Value: "uid:4294967294"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, created.Results)
	again, err := entries.BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{created.Results[0].Entry}})
	if err != nil || again.Results[0].Status.Code != int32(codes.AlreadyExists) || again.Results[0].Entry.GetId() != created.Results[0].Entry.Id {
		t.Errorf("created again: %v, %v", again, err)
	}

	streams := n.WatchX509()
	if c := streams.Next(); c.DefaultSVID().ID != n.ID("/billing") || time.Until(c.DefaultSVID().Certificates[0].NotAfter) > 10*time.Minute {
		t.Errorf("the workload is %s until %s", c.DefaultSVID().ID, c.DefaultSVID().Certificates[0].NotAfter)
	}
	list, err := entries.ListEntries(ctx, &entryv1.ListEntriesRequest{
		Filter:     &entryv1.ListEntriesRequest_Filter{BySelectors: &types.SelectorMatch{Selectors: mine(), Match: types.SelectorMatch_MATCH_EXACT}},
		OutputMask: &types.EntryMask{DnsNames: true},
	})
	if err != nil || len(list.Entries) != 1 || list.Entries[0].DnsNames[0] != "billing" || list.Entries[0].SpiffeId != nil {
		t.Errorf("listed %v, %v", list, err)
	}
	updated, err := entries.BatchUpdateEntry(ctx, &entryv1.BatchUpdateEntryRequest{
		Entries:   []*types.Entry{{Id: created.Results[0].Entry.Id, DnsNames: []string{"bills"}}},
		InputMask: &types.EntryMask{DnsNames: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, updated.Results)
	streams.Until("the new DNS name", func(c *workloadapi.X509Context) bool {
		return c.DefaultSVID().Certificates[0].DNSNames[0] == "bills"
	})
	// It is one log, whoever asks: REST sees what gRPC wrote.
	if seen := n.Admin().Entries()[n.ID("/billing").String()]; seen.DNSNames[0] != "bills" || seen.Revision != 1 {
		t.Errorf("REST shows %+v", seen)
	}
	count, err := entries.CountEntries(ctx, &entryv1.CountEntriesRequest{})
	if err != nil || count.Count != 2 {
		t.Errorf("counted %v, %v", count, err)
	}
	deleted, err := entries.BatchDeleteEntry(ctx, &entryv1.BatchDeleteEntryRequest{Ids: []string{created.Results[0].Entry.Id, created.Results[1].Entry.Id}})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, deleted.Results)
	if err := streams.Error(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestSPIRERelationshipsOfBothProfilesFetchARealPeer(t *testing.T) {
	t.Parallel()
	acme, bank, shop, ctx := world.Start(t, "acme.example"), world.Start(t, "bank.example"), world.StartWeb(t, "shop.example"), world.Soon(t)
	conn := acme.Dial("admin.sock")
	peers, bundles := trustdomainv1.NewTrustDomainClient(conn), bundlev1.NewBundleClient(conn)
	own, err := bundlev1.NewBundleClient(bank.Dial("admin.sock")).GetBundle(ctx, &bundlev1.GetBundleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	created, err := peers.BatchCreateFederationRelationship(ctx, &trustdomainv1.BatchCreateFederationRelationshipRequest{
		FederationRelationships: []*types.FederationRelationship{{
			TrustDomain: "bank.example", BundleEndpointUrl: "https://" + bank.Addresses().Bundle + "/", TrustDomainBundle: own,
			BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: "spiffe://bank.example/spire/server"}},
		}, {
			// No CA of this system vouches for it.
			TrustDomain: "shop.example", BundleEndpointUrl: "https://" + shop.Addresses().Bundle + "/",
			BundleEndpointProfile: &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, created.Results)

	turned := bank.Admin().Turn("jwt")
	bank.Admin().Turn("x509")
	if _, err := peers.RefreshBundle(ctx, &trustdomainv1.RefreshBundleRequest{TrustDomain: "bank.example"}); err != nil {
		t.Fatal(err)
	}
	got, err := bundles.GetFederatedBundle(ctx, &bundlev1.GetFederatedBundleRequest{TrustDomain: "bank.example"})
	if err != nil || got.SequenceNumber <= own.SequenceNumber || !hasKey(got, turned.ID) {
		t.Errorf("after the refresh: %v, %v", got, err)
	}
	_, err = peers.RefreshBundle(ctx, &trustdomainv1.RefreshBundleRequest{TrustDomain: "shop.example"})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("a certificate of no known CA: %v", err)
	}
	_, err = peers.RefreshBundle(ctx, &trustdomainv1.RefreshBundleRequest{TrustDomain: "nobody.example"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a relationship that is not there: %v", err)
	}
	deleted, err := peers.BatchDeleteFederationRelationship(ctx, &trustdomainv1.BatchDeleteFederationRelationshipRequest{TrustDomains: []string{"bank.example", "shop.example"}})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, deleted.Results)
	if _, err := bundles.GetFederatedBundle(ctx, &bundlev1.GetFederatedBundleRequest{TrustDomain: "bank.example"}); status.Code(err) != codes.NotFound {
		t.Errorf("the bundle of an ended relationship: %v", err)
	}
}

func hasKey(b *types.Bundle, id string) bool {
	for _, k := range b.JwtAuthorities {
		if k.KeyId == id {
			return true
		}
	}
	return false
}

// wireBundle is a bundle as SPIRE's API writes it.
func wireBundle(t *testing.T, p *world.Peer) *types.Bundle {
	t.Helper()
	b, err := spiffebundle.Parse(p.TrustDomain(), p.Bundle().Document)
	if err != nil {
		t.Fatal(err)
	}
	out := &types.Bundle{TrustDomain: p.TrustDomain().Name()}
	for _, c := range b.X509Authorities() {
		out.X509Authorities = append(out.X509Authorities, &types.X509Certificate{Asn1: c.Raw})
	}
	for id, key := range b.JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		out.JwtAuthorities = append(out.JwtAuthorities, &types.JWTKey{KeyId: id, PublicKey: der})
	}
	return out
}

func TestSPIREBundlesReachWorkloads(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	bundles := bundlev1.NewBundleClient(n.Dial("admin.sock"))
	bank, shop := world.NewPeer(t, "bank.example", "https_web"), world.NewPeer(t, "shop.example", "https_web")
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String(), FederatesWith: []string{"bank.example", "shop.example"}})
	streams := n.WatchX509()
	streams.Next()

	set, err := bundles.BatchSetFederatedBundle(ctx, &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{wireBundle(t, bank), wireBundle(t, shop)}})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, set.Results)
	c := streams.Until("both bundles", func(c *workloadapi.X509Context) bool { return c.Bundles.Len() == 3 })
	if b, ok := c.Bundles.Get(bank.TrustDomain()); !ok || !b.X509Authorities()[0].Equal(bank.Bundle().Bundle.X509[0]) {
		t.Error("bank's bundle has not bank's authority")
	}
	list, err := bundles.ListFederatedBundles(ctx, &bundlev1.ListFederatedBundlesRequest{PageSize: 1})
	if err != nil || len(list.Bundles) != 1 || list.NextPageToken == "" {
		t.Errorf("listed %v, %v", list, err)
	}
	own := wireBundle(t, bank)
	own.TrustDomain = "acme.example"
	refused, err := bundles.BatchSetFederatedBundle(ctx, &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{own}})
	if err != nil || refused.Results[0].Status.Code == int32(codes.OK) {
		t.Errorf("a bundle for our own domain: %v, %v", refused, err)
	}
	deleted, err := bundles.BatchDeleteFederatedBundle(ctx, &bundlev1.BatchDeleteFederatedBundleRequest{
		TrustDomains: []string{"bank.example"}, Mode: bundlev1.BatchDeleteFederatedBundleRequest_RESTRICT,
	})
	if err != nil || deleted.Results[0].Status.Code != int32(codes.FailedPrecondition) {
		t.Errorf("an entry federates with it: %v, %v", deleted, err)
	}
	deleted, err = bundles.BatchDeleteFederatedBundle(ctx, &bundlev1.BatchDeleteFederatedBundleRequest{
		TrustDomains: []string{"bank.example"}, Mode: bundlev1.BatchDeleteFederatedBundleRequest_DISSOCIATE,
	})
	if err != nil {
		t.Fatal(err)
	}
	fine(t, deleted.Results)
	streams.Until("bank's bundle is gone", func(c *workloadapi.X509Context) bool {
		return !c.Bundles.Has(bank.TrustDomain()) && c.Bundles.Len() == 2
	})
	if e := n.Admin().Entries()[n.ID("/billing").String()]; len(e.FederatesWith) != 1 || e.FederatesWith[0] != "shop.example" {
		t.Errorf("the entry federates with %v", e.FederatesWith)
	}
}

// An operator who moves a domain, or runs a second server in it, publishes that
// one's keys with ours.
func TestSPIREAppendedKeysArePublishedAndOutliveARestart(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example", laboratory), world.Soon(t)
	other := wireBundle(t, world.NewPeer(t, "acme.example", "https_web"))
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	streams := n.WatchX509()
	streams.Next()
	appended, err := bundlev1.NewBundleClient(n.Dial("admin.sock")).AppendBundle(ctx, &bundlev1.AppendBundleRequest{
		X509Authorities: other.X509Authorities, JwtAuthorities: other.JwtAuthorities,
	})
	if err != nil || len(appended.X509Authorities) != 3 || len(appended.JwtAuthorities) != 3 {
		t.Fatalf("appended %v, %v", appended, err)
	}
	streams.Until("the appended authority", func(c *workloadapi.X509Context) bool {
		b, _ := c.Bundles.Get(n.TrustDomain)
		return len(b.X509Authorities()) == 3
	})
	n.Stop()
	n.Start()
	if b := admitted(t, n); len(b.X509Authorities()) != 3 || len(b.JWTAuthorities()) != 3 {
		t.Errorf("after a restart: %d X.509 and %d JWT authorities", len(b.X509Authorities()), len(b.JWTAuthorities()))
	}
	// They sign nothing here.
	source := n.X509Source()
	svid, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, svid, source); got != n.Admin().Authority("x509", "active").ID {
		t.Errorf("signed by %s", got)
	}
}

func TestSPIREAgentsShowTheNodesOwn(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	agents := agentv1.NewAgentClient(n.Dial("admin.sock"))
	count, err := agents.CountAgents(ctx, &agentv1.CountAgentsRequest{})
	if err != nil || count.Count != 1 {
		t.Errorf("counted %v, %v", count, err)
	}
	list, err := agents.ListAgents(ctx, &agentv1.ListAgentsRequest{})
	if err != nil || len(list.Agents) != 1 || list.Agents[0].Id.Path != "/spire/agent/concord/n1" {
		t.Fatalf("listed %v, %v", list, err)
	}
	got, err := agents.GetAgent(ctx, &agentv1.GetAgentRequest{Id: list.Agents[0].Id})
	if err != nil || got.AttestationType != "concord:node" || len(got.Selectors) != 1 || got.Selectors[0].Value != "node" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSPIREMintsWhatGoSPIFFEVerifies(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	svids := svidv1.NewSVIDClient(n.Dial("admin.sock"))
	minted, err := svids.MintX509SVID(ctx, &svidv1.MintX509SVIDRequest{Csr: request(t, n.ID("/db")), Ttl: 60})
	if err != nil {
		t.Fatal(err)
	}
	own := admitted(t, n)
	if id, _, err := x509svid.ParseAndVerify(minted.Svid.CertChain, own); err != nil || id != n.ID("/db") {
		t.Errorf("verified %s, %v", id, err)
	}
	token, err := svids.MintJWTSVID(ctx, &svidv1.MintJWTSVIDRequest{Id: spireID(n, "/db"), Audience: []string{"ledger"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jwtsvid.ParseAndValidate(token.Svid.Token, own, []string{"ledger"}); err != nil || got.ID != n.ID("/db") {
		t.Errorf("validated %v, %v", got, err)
	}
}

// FD-3: nothing is signed by what is not published; DESIGN §2.2.
func TestFD_2_FD_3_SPIREActivationWaitsForThePublicationWindow(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	authorities := localauthorityv1.NewLocalAuthorityClient(n.Dial("admin.sock"))
	state, err := authorities.GetX509AuthorityState(ctx, &localauthorityv1.GetX509AuthorityStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := authorities.PrepareX509Authority(ctx, &localauthorityv1.PrepareX509AuthorityRequest{})
	if err != nil || prepared.PreparedAuthority.AuthorityId != state.Prepared.AuthorityId {
		t.Errorf("prepared %v, %v", prepared, err)
	}
	_, err = authorities.ActivateX509Authority(ctx, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: state.Prepared.AuthorityId})
	until := n.Admin().Authority("x509", "prepared").Earliest
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), until.UTC().Format(time.RFC3339)) {
		t.Errorf("inside the window: %v, want it to name %s", err, until)
	}
	if least := 3 * time.Minute; until.Sub(n.Admin().Authority("x509", "prepared").PreparedAt) < least {
		t.Errorf("the window ends at %s: shorter than three times the hint", until)
	}
	if active := n.Admin().Authority("x509", "active"); active.ID != state.Active.AuthorityId {
		t.Error("the refused activation changed which authority signs")
	}
}

func TestSPIREAuthoritiesTurnAndStreamsFollow(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example", laboratory), world.Soon(t)
	authorities := localauthorityv1.NewLocalAuthorityClient(n.Dial("admin.sock"))
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	streams := n.WatchX509()
	first := streams.Next()
	state, err := authorities.GetX509AuthorityState(ctx, &localauthorityv1.GetX509AuthorityStateRequest{})
	if err != nil || state.Active.AuthorityId != signedBy(t, first.DefaultSVID(), first.Bundles) {
		t.Fatalf("state %v, %v", state, err)
	}
	if _, err := authorities.TaintX509Authority(ctx, &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: state.Active.AuthorityId}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("tainting the active authority: %v", err)
	}
	if _, err := authorities.ActivateX509Authority(ctx, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: state.Prepared.AuthorityId}); err != nil {
		t.Fatal(err)
	}
	streams.Until("an SVID of the next authority", func(c *workloadapi.X509Context) bool {
		return signedBy(t, c.DefaultSVID(), c.Bundles) == state.Prepared.AuthorityId
	})
	old := state.Active.AuthorityId
	if _, err := authorities.TaintX509Authority(ctx, &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: old}); err != nil {
		t.Fatal(err)
	}
	if _, err := authorities.RevokeX509Authority(ctx, &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: old}); err != nil {
		t.Fatal(err)
	}
	streams.Until("the revoked authority is gone", func(c *workloadapi.X509Context) bool {
		_, _, err := x509svid.Verify(first.DefaultSVID().Certificates, c.Bundles)
		return err != nil
	})

	jwt, err := authorities.GetJWTAuthorityState(ctx, &localauthorityv1.GetJWTAuthorityStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authorities.ActivateJWTAuthority(ctx, &localauthorityv1.ActivateJWTAuthorityRequest{AuthorityId: jwt.Prepared.AuthorityId}); err != nil {
		t.Fatal(err)
	}
	workload := n.Client()
	world.Eventually(t, "a token of the next authority", func() bool {
		token, err := workload.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "a"})
		return err == nil && headerOf(t, token.Marshal())["kid"] == jwt.Prepared.AuthorityId
	})
}

func TestSPIREHealthReflectionAndLoggerOfARealNode(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	conn := n.Dial("admin.sock")
	health := grpc_health_v1.NewHealthClient(conn)
	if got, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || got.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", got, err)
	}
	reflect, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := reflect.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := reflect.Recv()
	if err != nil || len(answer.GetListServicesResponse().GetService()) < 10 {
		t.Errorf("reflection %v, %v", answer, err)
	}

	logger := loggerv1.NewLoggerClient(conn)
	if _, err := logger.SetLogLevel(ctx, &loggerv1.SetLogLevelRequest{NewLevel: types.LogLevel_ERROR}); err != nil {
		t.Fatal(err)
	}
	quiet := len(n.Log.String())
	n.Admin().Turn("jwt") // which is logged, at info
	if more := n.Log.String()[quiet:]; strings.Contains(more, "level=INFO") {
		t.Errorf("at error it logged %s", more)
	}
	if _, err := logger.ResetLogLevel(ctx, &loggerv1.ResetLogLevelRequest{}); err != nil {
		t.Fatal(err)
	}
	got, err := logger.GetLogger(ctx, &loggerv1.GetLoggerRequest{})
	if err != nil || got.CurrentLevel != types.LogLevel_DEBUG || got.LaunchLevel != types.LogLevel_DEBUG {
		t.Errorf("logger %v, %v", got, err)
	}
}
