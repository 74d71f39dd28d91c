package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/world"
)

// laboratory has keys sign as soon as they are published.
func laboratory(c *node.Config) { c.PublicationWindow = 0 }

// published is the domain's bundle as a partner would have fetched it from n.
func published(t *testing.T, n *world.Node) *spiffebundle.Bundle {
	t.Helper()
	b, err := spiffebundle.Parse(n.TrustDomain, n.Admin().Bundle(n.TrustDomain).Document)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// issues wants a workload of n to get SVIDs that verify with trusted.
func issues(t *testing.T, n *world.Node, trusted *spiffebundle.Bundle) *x509svid.SVID {
	t.Helper()
	var svid *x509svid.SVID
	world.Eventually(t, n.Config.NodeName+" knows the entry", func() (known bool) {
		var err error
		if svid, err = n.Client().FetchX509SVID(world.Soon(t)); err != nil && status.Code(err) != codes.PermissionDenied {
			t.Fatalf("%s: %v", n.Config.NodeName, err)
		}
		return err == nil
	})
	if _, _, err := x509svid.Verify(svid.Certificates, trusted); err != nil {
		t.Errorf("%s: %v", n.Config.NodeName, err)
	}
	token, err := n.Client().FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "bank"})
	if err != nil {
		t.Fatalf("%s: %v", n.Config.NodeName, err)
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), trusted, []string{"bank"}); err != nil {
		t.Errorf("%s: %v", n.Config.NodeName, err)
	}
	return svid
}

func TestEveryMemberWritesReadsAndIssuesWithoutAChangeOfTheBundle(t *testing.T) {
	t.Parallel()
	first := world.Start(t, "acme.example")
	before := published(t, first)
	members := []*world.Node{first}
	for _, name := range []string{"n2", "n3"} {
		n := world.Joining(t, "acme.example", first.Admin().JoinToken(name).Token, name)
		n.Start()
		members = append(members, n)
	}
	for i, writer := range members {
		made := writer.Admin().Register(client.Entry{SPIFFEID: writer.ID(fmt.Sprintf("/w%d", i)).String(), Selectors: []string{fmt.Sprintf("unix:uid:%d", os.Getuid()), fmt.Sprintf("unix:gid:%d", os.Getgid())}})
		for _, reader := range members {
			var got client.Entry
			if err := reader.Admin().Try(http.MethodGet, client.Path("entries", made.ID), nil, nil, &got); err != nil {
				t.Errorf("%s does not have what %s wrote: %v", reader.Config.NodeName, writer.Config.NodeName, err)
			}
		}
	}
	for _, n := range members {
		issues(t, n, before)
		if now := published(t, n); !now.Equal(before) {
			t.Errorf("the bundle of %s changed because nodes joined", n.Config.NodeName)
		}
	}
}

func TestAJoinTokenIsGoodForOneNodeOnce(t *testing.T) {
	t.Parallel()
	first := world.Start(t, "acme.example")
	token := first.Admin().JoinToken("n2").Token
	refused := func(name, token, nodeName, words string) {
		t.Helper()
		n := world.Joining(t, "acme.example", token, nodeName)
		if err := n.TryStart(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want an error with %q", name, err, words)
		}
		if _, err := os.Stat(n.Path("private", "kek")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it has a key-encryption key: %v", name, err)
		}
	}
	refused("no token at all", "let me in", "n2", "this is no join token")
	refused("half of one", token[:len(token)-8], "n2", "not whole")
	refused("for another name", token, "n9", "for a node named n2")

	// Many nodes at once, one token: one of them is admitted.
	const crowd = 12
	var wait sync.WaitGroup
	var mu sync.Mutex
	var inside []*world.Node
	for range crowd {
		n := world.Joining(t, "acme.example", token, "n2")
		wait.Go(func() {
			if n.TryStart() == nil {
				mu.Lock()
				defer mu.Unlock()
				inside = append(inside, n)
			}
		})
	}
	wait.Wait()
	if len(inside) != 1 {
		t.Fatalf("%d nodes joined with one token", len(inside))
	}
	refused("used up", token, "n2", "used by another node")
	if got := len(first.Admin().Cluster().Members); got != 2 {
		t.Errorf("the cluster has %d members", got)
	}
}

func TestAnEndedJoinTokenIsRefused(t *testing.T) {
	t.Parallel()
	first := world.Start(t, "acme.example")
	var out client.Outcome[client.JoinToken]
	if err := first.Admin().Try(http.MethodPost, client.Path("cluster", "tokens"), nil, client.NewJoinToken{Name: "n2", TTL: client.Duration(time.Second)}, &out); err != nil {
		t.Fatal(err)
	}
	world.Eventually(t, "the token ends", func() bool { return time.Now().After(out.After.ExpiresAt) })
	if err := world.Joining(t, "acme.example", out.After.Token, "n2").TryStart(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("it joined: %v", err)
	}
}

func TestEachPeerIsPolledByOneMemberWhichCanChange(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3)
	world.Eventually(t, "the work is shared", func() bool { return len(members[0].Admin().Cluster().Live) == 3 })
	peers := make([]*world.Peer, 6)
	for i := range peers {
		peers[i] = world.NewPeer(t, fmt.Sprintf("peer-%d.example", i), federation.HTTPSWeb)
		members[i%3].Admin().Relate(peers[i].Relationship())
	}
	follows := func(n *world.Node) (sum int) {
		for _, m := range n.Admin().Cluster().Members {
			sum += m.Polls
		}
		return sum
	}
	for _, n := range members {
		world.Eventually(t, "each peer is followed once", func() bool { return follows(n) == len(peers) })
	}
	// Whoever is asked, the member that follows a peer refreshes it and says how it fares.
	for _, p := range peers {
		for _, n := range members {
			before := p.Hits.Load()
			if r := n.Admin().Refresh(p.TrustDomain()); r.Status.LastError != "" || p.Hits.Load() == before {
				t.Errorf("%s refreshed %s: %+v", n.Config.NodeName, p.TrustDomain(), r.Status)
			}
			if r := n.Admin().Relationship(p.TrustDomain()); r.Status.State != string(federation.StateActive) {
				t.Errorf("%s says of %s: %+v", n.Config.NodeName, p.TrustDomain(), r.Status)
			}
		}
	}
	// A member goes: the others take over.
	members[2].Stop()
	world.Eventually(t, "the others follow all peers", func() bool {
		return len(members[0].Admin().Cluster().Live) == 2 && follows(members[0]) == len(peers)
	})
	for _, p := range peers {
		if r := members[1].Admin().Refresh(p.TrustDomain()); r.Status.LastError != "" {
			t.Errorf("%s after a member went: %+v", p.TrustDomain(), r.Status)
		}
	}
}

func TestARotationReachesEveryMember(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	members[1].Admin().Register(client.Entry{SPIFFEID: members[0].ID("/web").String()})
	next := members[1].Admin().Turn("x509")
	for _, n := range members {
		world.Eventually(t, n.Config.NodeName+" signs by the new authority", func() bool {
			svid := issues(t, n, published(t, n))
			return fmt.Sprintf("%x", svid.Certificates[len(svid.Certificates)-1].AuthorityKeyId) == next.ID
		})
	}
}

func TestTheLeadershipIsGivenAndTaken(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3)
	leads := func(n *world.Node) string { return n.Admin().Status().Leader }
	for _, to := range []string{"n2", "n3", "n1"} {
		if err := members[0].Admin().Try(http.MethodPost, client.Path("cluster", "transfer"), url.Values{"to": {to}}, nil, nil); err != nil {
			t.Fatal(err)
		}
		world.Eventually(t, to+" leads", func() bool { return leads(members[0]) == to && leads(members[1]) == to })
	}
	// A leader that stops hands on, so that the next write does not wait for an election.
	members[0].Stop()
	members[1].Admin().Register(client.Entry{SPIFFEID: members[1].ID("/after").String()})
	members[0].Start()
	if _, there := members[0].Admin().Entries()[members[1].ID("/after").String()]; !there && len(members[0].Admin().Entries()) != 1 {
		t.Error("the member that was away does not have what was written meanwhile")
	}
}

func TestARemovedMemberStopsAndStaysOut(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3)
	members[1].Admin().RemoveMember("n3")
	if err := members[2].Ended(); err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
		t.Errorf("it ended with %v", err)
	}
	members[2].Stop()
	if err := members[2].TryStart(); err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
		t.Errorf("it started again: %v", err)
	}
	world.Eventually(t, "it is out of the membership", func() bool { return len(members[0].Admin().Status().Members) == 2 })
	// Its name is free again, its key is not.
	back := world.Joining(t, "acme.example", members[0].Admin().JoinToken("n3").Token, "n3")
	back.Start()
	world.Eventually(t, "another node has its name", func() bool { return members[0].Admin().Voters() == 3 })
}

func TestAnOldCopyOfAMemberIsRefused(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3)
	members[2].Stop()
	copied := filepath.Join(world.Dir(t), "copy")
	if err := os.CopyFS(copied, os.DirFS(members[2].Config.DataDir)); err != nil {
		t.Fatal(err)
	}
	members[2].Start()
	members[2].Stop()
	old := members[2]
	old.Config.DataDir = copied
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{"", 0o711}, {"private", 0o700}, {"private/raft", 0o700}} {
		if err := os.Chmod(old.Path(dir.name), dir.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(old.Path("private", "kek"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := old.TryStart(); err == nil || !strings.Contains(err.Error(), "another process has run as this node") {
		t.Errorf("it started: %v", err)
	}
}

func TestAMinorityIssuesUntilItIsStale(t *testing.T) {
	t.Parallel()
	const limit = 4 * time.Second
	members := world.StartCluster(t, "acme.example", 3, func(c *node.Config) { c.MaxStaleness = limit })
	members[0].Admin().Register(client.Entry{SPIFFEID: members[0].ID("/web").String()})
	alone := members[2]
	trusted := published(t, alone)
	issues(t, alone, trusted)
	members[0].Stop()
	members[1].Stop()
	lost := time.Now()
	issues(t, alone, trusted)
	err := alone.Admin().Try(http.MethodPost, client.Path("entries"), nil, client.Entry{SPIFFEID: alone.ID("/late").String(), Selectors: []string{"unix:uid:1"}}, nil)
	if words := world.Refused(t, err, "unavailable"); !strings.Contains(words, "leader") {
		t.Errorf("a write without a majority: %s", words)
	}
	world.Eventually(t, "it issues no more", func() bool {
		_, err := alone.Client().FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "bank"})
		return status.Code(err) == codes.Unavailable
	})
	if since := time.Since(lost); since < limit-2*time.Second {
		t.Errorf("it stopped issuing after %s already", since)
	}
	if s := alone.Admin().Status(); s.Ready || !strings.Contains(strings.Join(s.Reasons, " "), "leader") {
		t.Errorf("ready %v, %v", s.Ready, s.Reasons)
	}
	members[0].Start()
	world.Eventually(t, "it issues again", func() bool {
		_, err := alone.Client().FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "bank"})
		return err == nil
	})
}
