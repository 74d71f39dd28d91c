package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
)

type operatorCaller = broker.Caller

var acme = spiffeid.RequireTrustDomainFromString("acme.example")

func (s *stage) id(path string) spiffeid.ID { return spiffeid.RequireFromPath(acme, path) }

// csr asks for an SVID.
func (s *stage) csr(path string) []byte {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.fail("%v", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{s.id(path).URL()}}, key)
	if err != nil {
		s.fail("%v", err)
	}
	return der
}

// authorities name: the domain's authorities, as a node knows them.
func (s *stage) authorities(args []string) (seen []string) {
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		all, err := s.at(args[0]).Authorities(s.t.Context(), operator, use)
		if err != nil {
			s.fail("%v", err)
		}
		slices.SortFunc(all, func(a, b ca.Authority) int {
			return a.PreparedAt.Compare(b.PreparedAt)*4 + int(b.Status) - int(a.Status)
		})
		var shown []string
		for _, a := range all {
			shown = append(shown, s.number(a)+" "+a.Status.String())
		}
		slices.Sort(shown)
		seen = append(seen, strings.Join(shown, ", "))
	}
	return seen
}

// activate name authority: an operator does not wait for the rotation.
func (s *stage) activate(args []string) []string {
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		all, err := s.at(args[0]).Authorities(s.t.Context(), operator, use)
		if err != nil {
			s.fail("%v", err)
		}
		for _, a := range all {
			if s.number(a) == args[1] {
				_, err := s.at(args[0]).ActivateAuthority(s.t.Context(), operator, registrar.ChangeAuthority{Use: use, ID: a.ID}, false)
				return []string{strings.ReplaceAll(refused(err), a.ID, args[1])}
			}
		}
	}
	return []string{"there is none"}
}

// number names an authority by when it was seen first.
func (s *stage) number(a ca.Authority) string {
	if s.numbers[a.ID] == "" {
		count := 1
		for _, other := range s.numbers {
			if strings.HasPrefix(other, a.Use.String()) {
				count++
			}
		}
		s.numbers[a.ID] = fmt.Sprint(a.Use, "-", count)
	}
	return s.numbers[a.ID]
}

// done name kind…: how often something of a kind was done.
func (s *stage) done(args []string) (seen []string) {
	for _, kind := range args[1:] {
		sum := 0
		for _, count := range s.deeds(args[0], kind) {
			sum += count
		}
		seen = append(seen, fmt.Sprintf("%s: %d", kind, sum))
	}
	return seen
}

// audit name kind…: how often something of a kind was done, by whom.
func (s *stage) audit(args []string) (seen []string) {
	for _, kind := range args[1:] {
		var shown []string
		for by, count := range s.deeds(args[0], kind) {
			shown = append(shown, fmt.Sprintf("%d by %s", count, by))
		}
		slices.Sort(shown)
		if len(shown) == 0 {
			shown = []string{"none"}
		}
		seen = append(seen, kind+": "+strings.Join(shown, ", "))
	}
	return seen
}

// deeds are how often something of a kind was done, by whom.
func (s *stage) deeds(at, kind string) map[string]int {
	s.t.Helper()
	records, err := s.at(at).Audit(s.t.Context(), operator, registrar.AuditFilter{})
	if err != nil {
		s.fail("%v", err)
	}
	done := map[string]int{}
	for record, err := range records {
		if err != nil {
			s.fail("%v", err)
		}
		if record.Kind == kind && record.Code == "" {
			by := record.Actor
			if name, ok := strings.CutPrefix(by, "node:"); ok {
				by = s.calls(name)
			}
			done[by]++
		}
	}
	return done
}
