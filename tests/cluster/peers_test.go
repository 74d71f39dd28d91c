package cluster

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memnet"
	"github.com/concord-id/concord/tests/world"
)

// visitors are who has polled each peer.
type visitors struct {
	mu   sync.Mutex
	seen map[string]map[string]bool // hosts, by peer
}

func (v *visitors) note(peer, remote string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	host, _, _ := net.SplitHostPort(remote)
	if v.seen == nil {
		v.seen = map[string]map[string]bool{}
	}
	if v.seen[peer] == nil {
		v.seen[peer] = map[string]bool{}
	}
	v.seen[peer][host] = true
}

// taken returns what was seen, and forgets it.
func (v *visitors) taken() map[string]map[string]bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := v.seen
	v.seen = nil
	return seen
}

func (s *stage) peerHost(i int) *memnet.Host { return s.network.Host(fmt.Sprint("10.1.0.", i+1)) }

// peers count at: so many other trust domains, and a relationship with each, made by an operator at a node.
func (s *stage) furnishPeers(args []string) {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		s.fail("%v", err)
	}
	for i := range count {
		listener, err := s.peerHost(i).Listen("0.0.0.0:443")
		if err != nil {
			s.fail("%v", err)
		}
		p := world.NewPeerOn(s.t, fmt.Sprintf("p%d.example", i), federation.HTTPSSPIFFE, listener)
		p.Answer(func(w http.ResponseWriter, r *http.Request) {
			s.visitors.note(p.TrustDomain().Name(), r.RemoteAddr)
			w.Write(p.Bundle().Document)
		})
		s.peers = append(s.peers, p)
		_, err = s.at(args[1]).SetRelationship(s.t.Context(), operator, registrar.SetRelationship{
			Relationship: federation.Relationship{
				TrustDomain: p.TrustDomain(), URL: p.URL, Profile: federation.HTTPSSPIFFE, EndpointID: p.ID("/spire/server"),
			},
			Bundle: p.Bundle().Bundle,
		})
		if err != nil {
			s.fail("%v", err)
		}
	}
}

// peer-turns number: a peer publishes another key.
func (s *stage) turnPeer(args []string) { s.peer(args[0]).AddJWTKey() }

func (s *stage) peer(number string) *world.Peer {
	s.t.Helper()
	i, err := strconv.Atoi(number)
	if err != nil || i >= len(s.peers) {
		s.fail("there is no peer %s", number)
	}
	return s.peers[i]
}

// polled duration [name]: by how many members the peers are polled in that time, and how many
// of them by another than when this was asked last, although neither is the one that is named.
func (s *stage) polled(args []string) []string {
	s.visitors.taken()
	time.Sleep(s.duration(args[0]))
	seen := s.visitors.taken()
	owners, several, moved := map[string]string{}, 0, 0
	for peer, hosts := range seen {
		if len(hosts) > 1 {
			several++
		}
		for host := range hosts {
			i := slices.IndexFunc(s.actors, func(a *actor) bool { return strings.HasPrefix(a.config.ListenRaft, host+":") })
			owners[peer] = s.actors[i].name
		}
		if before := s.polls[peer]; before != owners[peer] && len(args) == 2 && before != args[1] && owners[peer] != args[1] {
			moved++
		}
	}
	s.polls = owners
	out := []string{fmt.Sprintf("%d peers are polled, %d of them by more than one member", len(seen), several)}
	if len(args) == 2 {
		out = append(out, fmt.Sprintf("%d moved between others than %s", moved, args[1]))
	}
	return out
}

// bundle number…: how often the bundle of a peer was written, its first time included, and how many keys it has at
// each node that is up.
func (s *stage) bundleWrites(args []string) (seen []string) {
	p := s.peer(args[0])
	td := p.TrustDomain()
	records, err := s.at(s.running()[0].name).Audit(s.t.Context(), operator, registrar.AuditFilter{Subject: "bundle/" + td.Name()})
	if err != nil {
		s.fail("%v", err)
	}
	written := 0
	for r, err := range records {
		if err != nil {
			s.fail("%v", err)
		}
		if r.Kind == "put_bundle" && r.Code == "" {
			written++
		}
	}
	all := true
	for _, a := range s.running() {
		all = all && s.has(a, td, p)
	}
	return []string{fmt.Sprintf("written %d times, the newest at all nodes: %v", written, all)}
}

func (s *stage) has(a *actor, td spiffeid.TrustDomain, p *world.Peer) bool {
	held, err := s.at(a.name).Bundle(s.t.Context(), operator, td)
	return err == nil && held.Digest == p.Bundle().Digest
}
