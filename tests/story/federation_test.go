package story

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/tests/world"
)

var (
	acmeDomain = spiffeid.RequireTrustDomainFromString("acme.example")
	bankDomain = spiffeid.RequireTrustDomainFromString("bank.example")
)

// holds returns whether a workload has the X.509 authority of td with an ID.
func holds(c *workloadapi.X509Context, td spiffeid.TrustDomain, id string) bool {
	b, ok := c.Bundles.Get(td)
	if !ok {
		return false
	}
	for _, a := range b.X509Authorities() {
		if authorityID(a) == id {
			return true
		}
	}
	return false
}

// Two organizations, one with each profile; each follows the other's keys, and
// each believes the other's workloads by the bundle of their own domain alone.
func TestFD_20_FD_43_TwoDomainsFollowEachOthersRotations(t *testing.T) {
	t.Parallel()
	acme, bank := world.StartWeb(t, "acme.example"), world.Start(t, "bank.example")
	acme.Admin().Relate(bank.Relationship())
	bank.Admin().Relate(acme.Relationship())
	pairs := [][2]*world.Node{{acme, bank}, {bank, acme}}
	streams := map[*world.Node]*world.Watch[*workloadapi.X509Context]{}
	for _, p := range pairs {
		here, there := p[0], p[1]
		here.Admin().Register(client.Entry{SPIFFEID: here.ID("/app").String(), FederatesWith: []string{there.TrustDomain.Name()}})
		streams[here] = here.WatchX509()
	}
	contexts := map[*world.Node]*workloadapi.X509Context{}
	for n, stream := range streams {
		contexts[n] = stream.Until("both bundles", func(c *workloadapi.X509Context) bool { return c.Bundles.Len() == 2 })
	}
	for _, p := range pairs {
		here, there := p[0], p[1]
		if id, _, err := x509svid.Verify(contexts[there].DefaultSVID().Certificates, contexts[here].Bundles); err != nil || id != there.ID("/app") {
			t.Errorf("%s sees %s, %v", here.TrustDomain, id, err)
		}
	}

	for _, p := range pairs {
		here, there := p[0], p[1]
		old := there.Admin().Authority("x509", "active")
		next := there.Admin().Turn("x509")
		prepared := awaitPrepared(t, there)
		if r := here.Admin().Refresh(there.TrustDomain); r.Status.State != "active" || r.Status.LastError != "" {
			t.Fatalf("%s refreshed: %+v", here.TrustDomain, r.Status)
		}
		streams[here].Until("the authority that was prepared after the turn", func(c *workloadapi.X509Context) bool {
			return holds(c, there.TrustDomain, prepared.ID) && holds(c, there.TrustDomain, next.ID)
		})
		there.Admin().Revoke("x509", old.ID)
		here.Admin().Refresh(there.TrustDomain)
		streams[here].Until("the revoked one is gone", func(c *workloadapi.X509Context) bool {
			return !holds(c, there.TrustDomain, old.ID) && holds(c, there.TrustDomain, next.ID)
		})
	}
}

// awaitPrepared returns the next X.509 authority, which is prepared soon after a turn.
func awaitPrepared(t *testing.T, n *world.Node) client.Authority {
	t.Helper()
	var found client.Authority
	world.Eventually(t, "the next authority is prepared", func() bool {
		for _, a := range n.Admin().Authorities() {
			if a.Use == "x509" && a.Status == "prepared" {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

func TestFD_43_AJWTOfAPeerIsValidatedByWhomItFederatesWith(t *testing.T) {
	t.Parallel()
	acme, bank, ctx := world.Start(t, "acme.example"), world.Start(t, "bank.example"), world.Soon(t)
	acme.Admin().Relate(bank.Relationship())
	bank.Admin().Register(client.Entry{SPIFFEID: bank.ID("/teller").String()})
	token, err := bank.Client().FetchJWTSVID(ctx, jwtsvid.Params{Audience: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	entry := acme.Admin().Register(client.Entry{SPIFFEID: acme.ID("/alone").String()})
	workload := acme.Client()
	if _, err := workload.ValidateJWTSVID(ctx, token.Marshal(), "acme"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("by a workload that does not federate with bank: %v", err)
	}
	acme.Admin().Unregister(entry.ID)
	acme.Admin().Register(client.Entry{SPIFFEID: acme.ID("/app").String(), FederatesWith: []string{"bank.example"}})
	if got, err := workload.ValidateJWTSVID(ctx, token.Marshal(), "acme"); err != nil || got.ID != bank.ID("/teller") {
		t.Errorf("by one that does: %v, %v", got, err)
	}
}

// eachProfile tells a story of a node, a peer that it follows, and the stream of
// a workload that federates with it; once for each profile of the peer.
func eachProfile(t *testing.T, story func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context])) {
	for _, profile := range []federation.Profile{federation.HTTPSWeb, federation.HTTPSSPIFFE} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			n, p := world.Start(t, "acme.example"), world.NewPeer(t, "bank.example", profile)
			n.Admin().Relate(p.Relationship())
			n.Admin().Register(client.Entry{SPIFFEID: n.ID("/app").String(), FederatesWith: []string{"bank.example"}})
			stream := n.WatchX509()
			stream.Until("bank's bundle", func(c *workloadapi.X509Context) bool { return c.Bundles.Has(bankDomain) })
			story(t, n, p, stream)
		})
	}
}

func TestTB_12_APeerThatPublishesNoKeysIsTrustedNoMore(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"no keys":           `{"keys":[]}`,
		"only unknown keys": `{"keys":[{"kty":"AKP","use":"x509-svid"},{"kty":"EC","use":"wit-svid"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
				p.Say(document)
				if r := n.Admin().Refresh(bankDomain); r.Status.LastError != "" || r.Status.X509 != 0 || r.Status.JWT != 0 {
					t.Errorf("status %+v", r.Status)
				}
				c := stream.Until("bank's domain is dropped", func(c *workloadapi.X509Context) bool { return !c.Bundles.Has(bankDomain) })
				if !c.Bundles.Has(acmeDomain) || len(c.SVIDs) != 1 {
					t.Error("the workload lost more than bank")
				}
			})
		})
	}
}

// hostile is what a peer may answer (PEERS: SPIRE as a client accepts some of
// it), and what the status says then.
var hostile = map[string]struct {
	answer http.HandlerFunc
	say    string
}{
	"TB_9 an empty object":                   {text(`{}`), `"keys" is missing`},
	"TB_9 null keys":                         {text(`{"keys":null}`), "does not serve a bundle"},
	"an error document":                      {text(`{"error":"not found"}`), `"keys" is missing`},
	"a page":                                 {text("<!doctype html><title>Login</title>"), "does not serve a bundle"},
	"noise":                                  {text("\x00\xff\xfe{"), "does not serve a bundle"},
	"nothing":                                {text(""), "does not serve a bundle"},
	"half a document":                        {text(`{"keys":[{"kty":"EC"`), "does not serve a bundle"},
	"keys twice":                             {text(`{"keys":[],"keys":[]}`), "appears twice"},
	"64 MiB":                                 {huge, "over 256 KiB"},
	"500":                                    {failing(http.StatusInternalServerError), "status 500"},
	"404":                                    {failing(http.StatusNotFound), "status 404"},
	"FD_26 redirect to http":                 {redirect("http://127.0.0.1:1/"), "https"},
	"FD_26 redirect with a password":         {redirect("https://u:p@127.0.0.1:1/"), "user or password"},
	"FD_26 redirect to the cloud's metadata": {redirect("https://169.254.169.254/latest/"), "link-local"},
	"FD_26 redirects without end":            {redirect("/"), "redirect"},
	"a hang-up":                              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "closed the connection"},
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(s)) }
}

func failing(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary-of-the-peer", code) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

func huge(w http.ResponseWriter, _ *http.Request) {
	w.Write([]byte(`{"keys":[],"x":"`))
	for page := make([]byte, 64<<10); ; {
		for i := range page {
			page[i] = 'a'
		}
		if _, err := w.Write(page); err != nil {
			return
		}
	}
}

func TestTB_9_FD_26_FD_36_AHostilePeerCostsNothingButNews(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
		before := n.Admin().Bundle(bankDomain)
		for name, row := range hostile {
			t.Run(name, func(t *testing.T) {
				p.Answer(row.answer)
				r := n.Admin().Refresh(bankDomain)
				if !strings.Contains(r.Status.LastError, row.say) {
					t.Errorf("the status says %q, want %q", r.Status.LastError, row.say)
				}
				if strings.Contains(r.Status.LastError, "canary") {
					t.Errorf("the status repeats what the peer said: %q", r.Status.LastError)
				}
				if r.Status.State != "degraded" || r.Status.NextPoll.Before(time.Now()) || r.Status.LastSuccess.IsZero() {
					t.Errorf("status %+v", r.Status)
				}
			})
		}
		after := n.Admin().Bundle(bankDomain)
		if after.Sequence != before.Sequence || string(after.Document) != string(before.Document) {
			t.Errorf("bank's bundle is now %s", after.Document)
		}
		if stream.Pending() != 0 {
			t.Errorf("%d messages reached the workload", stream.Pending())
		}
		// It is what bank's own workloads are believed by, still.
		p.Honest()
		p.PrepareRoot()
		if r := n.Admin().Refresh(bankDomain); r.Status.State != "active" || r.Status.LastError != "" || r.Status.X509 != 2 {
			t.Errorf("once it is honest again: %+v", r.Status)
		}
		stream.Until("the next authority", func(c *workloadapi.X509Context) bool {
			b, ok := c.Bundles.Get(bankDomain)
			return ok && len(b.X509Authorities()) == 2
		})
	})
}

func TestFD_36_AnOlderSequenceIsRefusedAndShown(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
		old := string(p.Bundle().Document)
		p.PrepareRoot()
		n.Admin().Refresh(bankDomain)
		newest := stream.Until("the next authority", func(c *workloadapi.X509Context) bool {
			b, _ := c.Bundles.Get(bankDomain)
			return len(b.X509Authorities()) == 2
		})
		p.Say(old)
		if r := n.Admin().Refresh(bankDomain); !strings.Contains(r.Status.LastError, "older than") || r.Status.Sequence != p.Bundle().Bundle.Sequence {
			t.Errorf("status %+v", r.Status)
		}
		// FD-38: an operator may.
		n.Admin().SetBundle(bankDomain, []byte(old))
		stream.Until("the older bundle, by hand", func(c *workloadapi.X509Context) bool {
			b, _ := c.Bundles.Get(bankDomain)
			return len(b.X509Authorities()) == 1
		})
		p.Honest()
		n.Admin().Refresh(bankDomain)
		stream.Until("the newest again", func(c *workloadapi.X509Context) bool {
			b, _ := c.Bundles.Get(bankDomain)
			want, _ := newest.Bundles.Get(bankDomain)
			return b.Equal(want)
		})
	})
}

// DESIGN §2.5: a peer can never stop local identity.
func TestAHungPeerHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
		arrived := make(chan struct{}, 1)
		release := make(chan struct{})
		p.Answer(func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		defer close(release)
		refreshed := make(chan error, 1)
		go func() {
			refreshed <- n.Admin().Try(http.MethodPost, client.Path("federation", "bank.example", "refresh"), nil, nil, nil)
		}()
		<-arrived

		other := world.NewPeer(t, "shop.example", "https_web")
		n.Admin().Relate(other.Relationship())
		if r := n.Admin().Refresh(other.TrustDomain()); r.Status.State != "active" {
			t.Errorf("another peer meanwhile: %+v", r.Status)
		}
		n.Admin().Register(client.Entry{SPIFFEID: n.ID("/more").String()})
		stream.Until("a second identity", func(c *workloadapi.X509Context) bool { return len(c.SVIDs) == 2 })
		// Its own removal does not wait for it either.
		begun := time.Now()
		n.Admin().Part(bankDomain)
		stream.Until("bank's bundle is gone", func(c *workloadapi.X509Context) bool { return !c.Bundles.Has(bankDomain) })
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the removal took %s", took)
		}
		if words := world.Refused(t, <-refreshed, "not_found"); !strings.Contains(words, "relationship") {
			t.Errorf("the refresh of a removed relationship says %q", words)
		}
	})
}

func TestFD_41_TheEndOfARelationshipReachesStreamsAtOnce(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
		n.Admin().Refresh(bankDomain)
		begun := time.Now()
		n.Admin().Part(bankDomain)
		stream.Until("bank's bundle is gone", func(c *workloadapi.X509Context) bool { return !c.Bundles.Has(bankDomain) })
		t.Logf("gone after %s", time.Since(begun))
		world.Refused(t, n.Admin().Try(http.MethodGet, client.Path("bundles", "bank.example"), nil, nil, nil), "not_found")
		hits := p.Hits.Load()
		world.Refused(t, n.Admin().Try(http.MethodPost, client.Path("federation", "bank.example", "refresh"), nil, nil, nil), "not_found")
		if p.Hits.Load() != hits {
			t.Error("it was polled after its end")
		}
	})
}

func TestAnEntryMayFederateWithADomainThatIsNotKnownYet(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/app").String(), FederatesWith: []string{"bank.example"}})
	stream := n.WatchX509()
	if c := stream.Next(); len(c.SVIDs) != 1 || c.Bundles.Len() != 1 {
		t.Errorf("%d SVIDs, %d bundles", len(c.SVIDs), c.Bundles.Len())
	}
	p := world.NewPeer(t, "bank.example", "https_web")
	first := p.Relationship()
	first.Bundle = nil
	p.Answer(failing(http.StatusServiceUnavailable))
	n.Admin().Relate(first)
	if r := n.Admin().Refresh(bankDomain); r.Status.State != "pending" || r.Status.LastError == "" {
		t.Errorf("before the first fetch: %+v", r.Status)
	}
	p.Honest()
	if r := n.Admin().Refresh(bankDomain); r.Status.State != "active" {
		t.Errorf("after it: %+v", r.Status)
	}
	stream.Until("bank's bundle", func(c *workloadapi.X509Context) bool { return c.Bundles.Has(bankDomain) })
}

// Without any peer, and without a network, a restarted node serves the bundles
// that it had.
func TestFD_35_ARestartOfflineServesTheBundlesThatWereHeld(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, n *world.Node, p *world.Peer, stream *world.Watch[*workloadapi.X509Context]) {
		p.PrepareRoot()
		n.Admin().Refresh(bankDomain)
		p.Answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		n.Stop()
		n.Start()
		c := n.WatchX509().Next()
		b, ok := c.Bundles.Get(bankDomain)
		if !ok || len(b.X509Authorities()) != 2 {
			t.Fatalf("after the restart: %v", b)
		}
		// FD-33: what was stored last authenticates the endpoint, not the first.
		p.ActivateRoot()
		p.DropOldRoots()
		p.Honest()
		if r := n.Admin().Refresh(bankDomain); r.Status.State != "active" || r.Status.X509 != 1 {
			t.Errorf("after the rotation: %+v", r.Status)
		}
	})
}

// DESIGN §2.1.
func TestNobodyBringsABundleForOurOwnDomain(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	before := n.Admin().Bundle(acmeDomain)
	impostor := world.NewPeer(t, "acme.example", "https_web")
	document := impostor.Bundle().Document
	words := world.Refused(t, n.Admin().Try(http.MethodPut, client.Path("bundles", "acme.example"), nil, raw(document), nil), "invalid_argument")
	if !strings.Contains(words, "our own") && !strings.Contains(words, "own trust domain") {
		t.Errorf("setting it says %q", words)
	}
	world.Refused(t, n.Admin().Try(http.MethodPost, client.Path("federation"), nil, impostor.Relationship(), nil), "invalid_argument")
	world.Refused(t, n.Admin().Try(http.MethodDelete, client.Path("bundles", "acme.example"), nil, nil, nil), "invalid_argument")
	if after := n.Admin().Bundle(acmeDomain); string(after.Document) != string(before.Document) {
		t.Error("our own bundle changed")
	}
}

// TB-17, RELIABILITY row 9: keys come under one name only.
func TestTB_17_APeerThatPublishesOurRootIsNotBelieved(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	bank, shop := world.NewPeer(t, "bank.example", "https_web"), memdomain.New(t, "shop.example")
	n.Admin().Relate(bank.Relationship())
	n.Admin().SetBundle(shop.TrustDomain(), shop.Bundle().Document)
	before := n.Admin().Bundle(bankDomain)
	for whose, stolen := range map[string][]byte{
		"our own": n.Admin().Bundle(acmeDomain).Document, "a third domain's": shop.Bundle().Document,
	} {
		t.Run(whose, func(t *testing.T) {
			bank.Say(string(stolen))
			r := n.Admin().Refresh(bankDomain)
			if !strings.Contains(r.Status.LastError, "another trust domain") {
				t.Errorf("status %+v", r.Status)
			}
			if after := n.Admin().Bundle(bankDomain); string(after.Document) != string(before.Document) {
				t.Errorf("it was stored: %s", after.Document)
			}
			words := world.Refused(t, n.Admin().Try(http.MethodPut, client.Path("bundles", "bank.example"), nil, raw(stolen), nil), "failed_precondition")
			if !strings.Contains(words, "authority") {
				t.Errorf("by hand: %q", words)
			}
		})
	}
}
