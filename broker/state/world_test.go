package state_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

var (
	acme  = spiffeid.RequireTrustDomainFromString("acme.example")
	bank  = spiffeid.RequireTrustDomainFromString("bank.example")
	shop  = spiffeid.RequireTrustDomainFromString("shop.example")
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// fataler is what testing.T, testing.B and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is one node: a machine that is given one command after the other.
type world struct {
	t       fataler
	machine *state.Machine
	index   uint64
	now     time.Time
	log     [][]byte // every entry applied; entry i is at index i+1
}

func newWorld(t fataler) *world {
	return &world{t: t, machine: state.NewMachine(), now: epoch}
}

// founded is a world with a domain: an active and a prepared authority of each use.
func founded(t fataler, change ...func(*state.Bootstrap)) *world {
	t.Helper()
	w := newWorld(t)
	b := bootstrap()
	for _, f := range change {
		f(&b)
	}
	w.do(b)
	return w
}

func bootstrap() state.Bootstrap {
	return state.Bootstrap{
		ClusterID: "8c1f7d0e", TrustDomain: acme, Settings: state.DefaultSettings(),
		Authorities: []ca.Authority{
			root(acme, 1, ca.Active), jwtKey(2, ca.Active), root(acme, 3, ca.Prepared), jwtKey(4, ca.Prepared),
		},
	}
}

func (w *world) act() broker.Act {
	return broker.Act{Actor: "unix:uid=0,pid=4711", Cause: "test", At: w.now}
}

// apply proposes a command and applies it.
func (w *world) apply(c state.Command) state.Applied {
	w.t.Helper()
	return w.applyAs(w.act(), c)
}

func (w *world) applyAs(act broker.Act, c state.Command) state.Applied {
	w.t.Helper()
	entry, err := state.Encode(act, c)
	if err != nil {
		w.t.Fatalf("encode %T: %v", c, err)
	}
	return w.read(entry)
}

// read applies an entry of the log.
func (w *world) read(entry []byte) state.Applied {
	w.t.Helper()
	w.index++
	applied, err := w.machine.Apply(w.index, entry)
	if err != nil {
		w.t.Fatalf("apply entry %d: %v", w.index, err)
	}
	w.log = append(w.log, entry)
	return applied
}

// do applies a command that must not be refused.
func (w *world) do(c state.Command) state.Applied {
	w.t.Helper()
	applied := w.apply(c)
	if applied.Refusal != nil {
		w.t.Fatalf("%T was refused: %v", c, applied.Refusal)
	}
	return applied
}

// refused applies a command that must be refused with code and change nothing.
func (w *world) refused(code broker.Code, c state.Command) *broker.Refusal {
	w.t.Helper()
	before := w.records()
	applied := w.apply(c)
	if applied.Refusal == nil {
		w.t.Fatalf("%T was not refused, %s was wanted", c, code)
	}
	if applied.Refusal.Code != code {
		w.t.Fatalf("%T was refused as %s: %v; %s was wanted", c, applied.Refusal.Code, applied.Refusal, code)
	}
	if !applied.Change.Empty() || w.records() != before {
		w.t.Fatalf("%T was refused and changed something: %+v", c, applied.Change)
	}
	return applied.Refusal
}

// records describes everything in the view but the audit trail and requests.
func (w *world) records() string {
	v := w.machine.View()
	domain, _ := v.Domain()
	var text strings.Builder
	fmt.Fprintf(&text, "%+v\n", domain)
	for _, a := range append(v.Authorities(ca.X509), v.Authorities(ca.JWT)...) {
		fmt.Fprintf(&text, "%x %s ", a.Public, a.Sealed)
		a.Public, a.Sealed = nil, nil // as decimal numbers they are long
		fmt.Fprintf(&text, "%+v\n", a)
	}
	if own := v.Own(); own != nil {
		fmt.Fprintf(&text, "%s %s\n", own.ETag, own.UpdatedAt)
	}
	for p := range v.Bundles() {
		fmt.Fprintf(&text, "%s %x %s %s %d\n", p.Bundle.TrustDomain, p.Document, p.Origin, p.UpdatedAt, p.UpdatedIndex)
	}
	for e := range v.Entries() {
		fmt.Fprintf(&text, "%+v\n", *e)
	}
	for r := range v.Relationships() {
		fmt.Fprintf(&text, "%+v\n", r)
	}
	for a := range v.Agents() {
		fmt.Fprintf(&text, "%+v\n", a)
	}
	for m := range v.Members() {
		fmt.Fprintf(&text, "%+v\n", m)
	}
	for r := range v.RemovedMembers() {
		fmt.Fprintf(&text, "%+v\n", r)
	}
	for t := range v.JoinTokens() {
		fmt.Fprintf(&text, "%+v\n", t)
	}
	fmt.Fprintf(&text, "%+v\n", v.Duties())
	return text.String()
}

// later lets time pass.
func (w *world) later(d time.Duration) *world {
	w.now = w.now.Add(d)
	return w
}

// keys are made once a process: key n is the same for every test.
var keys = func() []*ecdsa.PrivateKey {
	all := make([]*ecdsa.PrivateKey, 80)
	for i := range all {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		all[i] = key
	}
	return all
}()

const lifetime = 90 * 24 * time.Hour

// root is an X.509 authority of td with key n.
func root(td spiffeid.TrustDomain, n int, status ca.Status) ca.Authority {
	return rootUntil(td, n, status, epoch.Add(lifetime))
}

func rootUntil(td spiffeid.TrustDomain, n int, status ca.Status, end time.Time) ca.Authority {
	cert := certificate(td, n, end)
	return ca.Authority{
		ID: hex.EncodeToString(cert.SubjectKeyId), Use: ca.X509, KeyType: ca.P256, Status: status,
		Public: cert.Raw, Sealed: fmt.Appendf(nil, "sealed key %d", n),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}
}

// certificates are made once a process: equal arguments give equal bytes.
var certificates sync.Map

func certificate(td spiffeid.TrustDomain, n int, end time.Time) *x509.Certificate {
	type key struct {
		td  spiffeid.TrustDomain
		n   int
		end int64
	}
	k := key{td, n, end.Unix()}
	if known, ok := certificates.Load(k); ok {
		return known.(*x509.Certificate)
	}
	made, _ := certificates.LoadOrStore(k, newCertificate(td, n, end))
	return made.(*x509.Certificate)
}

func newCertificate(td spiffeid.TrustDomain, n int, end time.Time) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{Organization: []string{"Concord"}},
		NotBefore: epoch.Add(-time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		URIs: []*url.URL{td.ID().URL()}, SubjectKeyId: []byte{0xa0, byte(n)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, keys[n].Public(), keys[n])
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// jwtKey is a JWT authority with key n.
func jwtKey(n int, status ca.Status) ca.Authority {
	public, err := x509.MarshalPKIXPublicKey(keys[n].Public())
	if err != nil {
		panic(err)
	}
	id, err := ca.KeyID(keys[n].Public())
	if err != nil {
		panic(err)
	}
	return ca.Authority{
		ID: id, Use: ca.JWT, KeyType: ca.P256, Status: status, Public: public, Sealed: fmt.Appendf(nil, "sealed key %d", n),
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(lifetime),
	}
}

// bundle is a bundle of td with the root keys of roots and the JWT keys of jwts.
func bundle(td spiffeid.TrustDomain, sequence uint64, roots, jwts []int) *federation.Published {
	b := &federation.Bundle{TrustDomain: td, Sequence: sequence, Sequenced: true, Hint: time.Minute, Hinted: true}
	for _, n := range roots {
		b.X509 = append(b.X509, certificate(td, n, epoch.Add(lifetime)))
	}
	for _, n := range jwts {
		b.JWT = append(b.JWT, federation.JWTAuthority{ID: fmt.Sprint("key", n), Key: crypto.PublicKey(keys[n].Public())})
	}
	p, err := federation.Publish(b)
	if err != nil {
		panic(err)
	}
	return p
}

func id(path string) spiffeid.ID { return spiffeid.RequireFromPath(acme, path) }

func selectors(texts ...string) []attest.Selector {
	var all []attest.Selector
	for _, text := range texts {
		s, err := attest.ParseSelector(text)
		if err != nil {
			panic(err)
		}
		all = append(all, s)
	}
	return attest.Sort(all)
}

// entry is an entry under the built-in alias.
func entry(name, path string, sel ...string) workload.Entry {
	return workload.Entry{ID: name, SPIFFEID: id(path), ParentID: workload.AgentAlias(acme), Selectors: selectors(sel...)}
}

func relationship(td spiffeid.TrustDomain) federation.Relationship {
	return federation.Relationship{
		TrustDomain: td, URL: "https://" + td.Name() + ":8443/", Profile: federation.HTTPSSPIFFE,
		EndpointID: workload.ServerID(td),
	}
}

func operator(p *federation.Published) state.PutBundle {
	return state.PutBundle{TrustDomain: p.Bundle.TrustDomain, Document: p.Document, Any: true, Origin: state.OriginOperator}
}

func revision(n uint64) *uint64 { return &n }
