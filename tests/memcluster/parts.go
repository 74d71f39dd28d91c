package memcluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/federation"
)

// Members stands for the other members: all that the state knows answer.
type Members struct{ ledger *Ledger }

// Members implements registrar.Cluster.
func (m Members) Members(context.Context) []registrar.MemberStatus {
	var all []registrar.MemberStatus
	for member := range m.ledger.View().Members() {
		all = append(all, registrar.MemberStatus{
			Member: member, Voter: true, Answers: true, Leading: member.Name == "n1", Ready: true, Applied: m.ledger.View().Index(), LastIndex: m.ledger.View().Index(), Heard: true,
		})
	}
	return all
}

// NewJoinToken implements registrar.Cluster.
func (m Members) NewJoinToken(name string, until time.Time) (string, state.JoinToken, error) {
	id := sha256.Sum256([]byte(name + until.String()))
	return "join-token-of-" + name, state.JoinToken{ID: hex.EncodeToString(id[:]), Name: name, ExpiresAt: until}, nil
}

// Transfer implements registrar.Cluster.
func (m Members) Transfer(context.Context, string) error { return nil }

// Rekeyable implements registrar.Cluster.
func (m Members) Rekeyable(context.Context) error { return nil }

// Backup implements registrar.Cluster.
func (m Members) Backup(view *state.View, w io.Writer) error {
	_, err := view.WriteTo(w)
	return err
}

// Peers stands for the pollers.
type Peers struct {
	mu       sync.Mutex
	statuses map[spiffeid.TrustDomain]federation.Status
	refresh  func(spiffeid.TrustDomain) (federation.Status, error)
}

// Set says how td fares.
func (p *Peers) Set(td spiffeid.TrustDomain, s federation.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statuses == nil {
		p.statuses = map[spiffeid.TrustDomain]federation.Status{}
	}
	p.statuses[td] = s
}

// OnRefresh says what a poll does.
func (p *Peers) OnRefresh(poll func(spiffeid.TrustDomain) (federation.Status, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh = poll
}

// Status implements registrar.Peers.
func (p *Peers) Status(td spiffeid.TrustDomain) (federation.Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.statuses[td]
	return s, ok
}

// Refresh implements registrar.Peers.
func (p *Peers) Refresh(_ context.Context, td spiffeid.TrustDomain) (federation.Status, error) {
	p.mu.Lock()
	poll := p.refresh
	p.mu.Unlock()
	if poll == nil {
		s, _ := p.Status(td)
		return s, nil
	}
	return poll(td)
}

// Signer signs with the active authorities, through an intermediate as a node
// has one.
type Signer struct {
	ledger *Ledger
	maker  issue.Domain

	mu   sync.Mutex
	made map[string]*issue.Intermediate // by the root's ID
	fail error
}

// Fail makes every signature fail with err; nil heals it.
func (s *Signer) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// X509SVID implements registrar.Signer.
func (s *Signer) X509SVID(r ca.X509Request) (ca.X509SVID, error) {
	root, err := s.active(ca.X509)
	if err != nil {
		return ca.X509SVID{}, err
	}
	intermediate, err := s.intermediate(root)
	if err != nil {
		return ca.X509SVID{}, err
	}
	issuer := issue.New()
	issuer.SetX509(intermediate)
	return issuer.X509SVID(r, time.Now())
}

// JWTSVID implements registrar.Signer.
func (s *Signer) JWTSVID(r ca.JWTRequest) (ca.JWTSVID, error) {
	a, err := s.active(ca.JWT)
	if err != nil {
		return ca.JWTSVID{}, err
	}
	signer, err := s.maker.Open(a)
	if err != nil {
		return ca.JWTSVID{}, err
	}
	key, err := issue.NewJWTKey(s.maker.TrustDomain, a, signer)
	if err != nil {
		return ca.JWTSVID{}, err
	}
	issuer := issue.New()
	issuer.SetJWT(key)
	return issuer.JWTSVID(r, time.Now())
}

func (s *Signer) active(use ca.Use) (ca.Authority, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return ca.Authority{}, s.fail
	}
	for _, a := range s.ledger.View().Authorities(use) {
		if a.Status == ca.Active {
			return a, nil
		}
	}
	return ca.Authority{}, ca.ErrNotReady
}

func (s *Signer) intermediate(root ca.Authority) (*issue.Intermediate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.made[root.ID]; made != nil {
		return made, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := s.maker.SignIntermediate(root, key.Public(), 24*time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	made, err := issue.NewIntermediate(der, key, root.ID)
	s.made[root.ID] = made
	return made, err
}

// newKeys makes authorities.
type newKeys struct {
	maker  issue.Domain
	ledger *Ledger
}

func (k newKeys) NewAuthority(_ context.Context, use ca.Use, kind ca.KeyType) (ca.Authority, error) {
	domain, _ := k.ledger.View().Domain()
	k.maker.KeyType = kind
	return k.maker.NewAuthority(use, domain.Settings.RootTTL, time.Now())
}

// trail shows what the ledger noted. Of a filter it knows the indexes and the
// subject.
type trail struct{ ledger *Ledger }

func (t trail) Records(_ context.Context, f registrar.AuditFilter) iter.Seq2[registrar.AuditRecord, error] {
	return func(yield func(registrar.AuditRecord, error) bool) {
		for _, r := range t.ledger.Records() {
			wanted := r.Index > f.After && (f.Subject == "" || f.Subject == r.Subject)
			if wanted && !yield(r, nil) {
				return
			}
		}
	}
}

func (t trail) Verify(context.Context) (registrar.AuditReport, error) {
	return registrar.AuditReport{Records: len(t.ledger.Records())}, nil
}
