package federation_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// bundle returns one of bank.example with the named keys as X.509 authorities
// and, with jwt: before the name, as JWT authorities.
func bundle(t testing.TB, certs map[string]*x509.Certificate, names ...string) *federation.Bundle {
	t.Helper()
	b := &federation.Bundle{TrustDomain: bank}
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, "jwt:"); ok {
			b.JWT = append(b.JWT, federation.JWTAuthority{ID: id, Key: keys()[id].Public()})
			continue
		}
		if certs[name] == nil {
			t.Fatal("no certificate ", name)
		}
		b.X509 = append(b.X509, certs[name])
	}
	return b
}

func at(seq uint64, b *federation.Bundle) *federation.Bundle {
	b.Sequence, b.Sequenced = seq, true
	return b
}

func hinted(d time.Duration, b *federation.Bundle) *federation.Bundle {
	b.Hint, b.Hinted = d, true
	return b
}

func held(td spiffeid.TrustDomain, keysHeld ...any) federation.Holder {
	holders := map[federation.KeyHash]spiffeid.TrustDomain{}
	for _, k := range keysHeld {
		hash, err := federation.HashKey(k)
		if err != nil {
			panic(err)
		}
		holders[hash] = td
	}
	return func(h federation.KeyHash) (spiffeid.TrustDomain, bool) {
		td, ok := holders[h]
		return td, ok
	}
}

func TestAdmit(t *testing.T) {
	ended := func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) }
	certs := map[string]*x509.Certificate{
		"a": authority(t, "p256", bank), "b": authority(t, "p384", bank), "c": authority(t, "rsa2048", bank),
		"a again": authority(t, "p256", bank, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) }),
		"ended":   authority(t, "p256b", bank, ended), "acme's": authority(t, "p521", acme),
		"leaf": authority(t, "p521", bank, func(c *x509.Certificate) { c.IsCA = false }),
		"weak": authority(t, "rsa1024", bank),
	}
	b := func(names ...string) *federation.Bundle { return bundle(t, certs, names...) }
	ours := held(acme, keys()["p256"].Public(), keys()["p521"].Public())
	oneself := held(bank, keys()["p256"].Public(), keys()["p384"].Public())
	ofAcme := func(b *federation.Bundle) *federation.Bundle { b.TrustDomain = acme; return b }

	for _, tc := range []struct {
		name             string
		current, fetched *federation.Bundle
		rules            federation.Rules
		outcome          federation.Outcome
		reason           string
		alarms           []string // one for each alarm: words of it
		stored           *federation.Bundle
	}{
		// The first bundle.
		{name: "first", fetched: at(1, b("a", "jwt:p256")), outcome: federation.Accept, reason: "the first bundle: 1 X.509 and 1 JWT"},
		{name: "first without a sequence", fetched: b("a"), outcome: federation.Accept, reason: "first"},
		{name: "first and empty", fetched: at(1, b()), outcome: federation.Accept, alarms: []string{"revoked everything"}},
		{name: "first and ended", fetched: b("ended"), outcome: federation.Accept, alarms: []string{"every X.509 authority of bank.example has ended"}},
		{name: "first with an authority of another name", fetched: b("acme's"), outcome: federation.Accept, alarms: []string{`names "spiffe://acme.example"`}},

		// FD_36, FD_37: which is newer.
		{name: "FD_36 the same", current: at(5, b("a")), fetched: at(5, b("a")), outcome: federation.Unchanged},
		{name: "FD_36 the same in another order", current: at(5, b("a", "b", "jwt:p256", "jwt:p384")), fetched: at(5, b("jwt:p384", "b", "a", "jwt:p256")), outcome: federation.Unchanged},
		{name: "FD_36 newer", current: at(5, b("a")), fetched: at(6, b("a", "b")), outcome: federation.Accept, reason: "1 X.509 added"},
		{name: "FD_36 newer and otherwise the same", current: at(5, b("a")), fetched: at(6, b("a")), outcome: federation.Accept, reason: "the same authorities"},
		{name: "FD_36 older", current: at(5, b("a")), fetched: at(4, b("a", "b")), outcome: federation.Refuse, reason: "sequence 4 is older than 5"},
		{name: "FD_36 older and otherwise the same", current: at(5, b("a")), fetched: at(4, b("a")), outcome: federation.Refuse, reason: "older"},
		{name: "FD_36 zero is a sequence", current: at(5, b("a")), fetched: at(0, b("b")), outcome: federation.Refuse, reason: "sequence 0 is older"},
		{name: "FD_36 older by its full precision", current: at(1<<53+1, b("a")), fetched: at(1<<53, b("b")), outcome: federation.Refuse, reason: "older"},
		{name: "FD_36 older and empty", current: at(5, b("a")), fetched: at(4, b()), outcome: federation.Refuse, reason: "older"},
		{name: "FD_38 an operator sets an older one", current: at(5, b("a")), fetched: at(4, b("a", "b")), rules: federation.Rules{Operator: true}, outcome: federation.Accept, alarms: []string{"an operator set sequence 4"}},
		{name: "FD_36 another content under the same sequence", current: at(5, b("a")), fetched: at(5, b("a", "b")), outcome: federation.Accept, alarms: []string{"without changing its sequence 5"}},
		{name: "FD_36 another hint under the same sequence", current: at(5, b("a")), fetched: hinted(time.Minute, at(5, b("a"))), outcome: federation.Accept, alarms: []string{"without changing"}},
		{name: "FD_37 neither has a sequence", current: b("a"), fetched: b("a", "b"), outcome: federation.Accept},
		{name: "FD_37 neither has a sequence, the same", current: b("a"), fetched: b("a"), outcome: federation.Unchanged},
		{name: "FD_37 the sequence is gone", current: at(5, b("a")), fetched: b("a", "b"), outcome: federation.Accept, alarms: []string{"no longer gives its bundle a sequence"}},
		{name: "FD_37 the sequence is gone, otherwise the same", current: at(5, b("a")), fetched: b("a"), outcome: federation.Unchanged, stored: at(5, b("a"))},
		{name: "FD_37 the sequence is new", current: b("a"), fetched: at(5, b("a")), outcome: federation.Accept},
		{name: "the last sequence", current: at(5, b("a")), fetched: at(1<<64-1, b("a")), outcome: federation.Accept, alarms: []string{"the last sequence there is"}},

		// TB_12: a removal never waits.
		{name: "TB_12 everything revoked", current: at(5, b("a", "jwt:p256")), fetched: at(6, b()), outcome: federation.Accept, reason: "1 X.509 removed, 1 JWT removed", alarms: []string{"revoked everything"}},
		{name: "TB_12 everything revoked without a sequence", current: b("a"), fetched: b(), outcome: federation.Accept, alarms: []string{"revoked everything"}},
		{name: "TB_12 still revoked", current: at(6, b()), fetched: at(6, b()), outcome: federation.Unchanged},
		{name: "one removed", current: at(5, b("a", "b")), fetched: at(6, b("b")), outcome: federation.Accept, reason: "1 X.509 removed"},
		{name: "JWT keys removed", current: at(5, b("a", "jwt:p256")), fetched: at(6, b("a")), outcome: federation.Accept, reason: "1 JWT removed"},
		{name: "all replaced", current: at(5, b("a", "jwt:p256")), fetched: at(6, b("b", "jwt:p384")), outcome: federation.Accept, reason: "1 X.509 added, 1 X.509 removed, 1 JWT added, 1 JWT removed", alarms: []string{"replaced every authority"}},
		{name: "replaced by an ended one", current: at(5, b("a")), fetched: at(6, b("ended")), outcome: federation.Accept, alarms: []string{"replaced every", "has ended"}},
		{name: "serves an ended one for ever", current: at(5, b("ended")), fetched: at(5, b("ended")), outcome: federation.Unchanged, alarms: []string{"has ended"}},
		{name: "an ended one beside a good one", current: at(5, b("ended")), fetched: at(6, b("ended", "a")), outcome: federation.Accept},

		// TB_17: a key serves one trust domain.
		{name: "TB_17 our root", current: at(5, b("b")), fetched: at(6, b("b", "a")), rules: federation.Rules{Own: acme, Holder: ours}, outcome: federation.Accept, alarms: []string{"which acme.example has already"}, stored: at(6, b("b"))},
		{name: "TB_17 our root's key in their certificate", current: at(5, b("b")), fetched: at(6, b("b", "a again")), rules: federation.Rules{Holder: ours}, outcome: federation.Accept, alarms: []string{"acme.example has already"}, stored: at(6, b("b"))},
		{name: "TB_17 our root as a JWT key", current: at(5, b("b")), fetched: at(6, b("b", "jwt:p256")), rules: federation.Rules{Holder: ours}, outcome: federation.Accept, alarms: []string{`the JWT authority "p256"`}, stored: at(6, b("b"))},
		{name: "TB_17 a removal beside our root", current: at(5, b("b", "c")), fetched: at(6, b("b", "a")), rules: federation.Rules{Holder: ours}, outcome: federation.Accept, reason: "1 X.509 removed", alarms: []string{"already"}, stored: at(6, b("b"))},
		{name: "TB_17 the held document again", current: at(6, b("b")), fetched: at(6, b("b", "a")), rules: federation.Rules{Holder: ours}, outcome: federation.Unchanged, alarms: []string{"already"}, stored: at(6, b("b"))},
		{name: "TB_17 nothing but ours", current: at(5, b("b")), fetched: at(6, b("a", "acme's")), rules: federation.Rules{Holder: ours}, outcome: federation.Refuse, reason: "is the URL the right one", alarms: []string{"already", "already"}},
		{name: "TB_17 nothing but ours, first", fetched: at(6, b("a")), rules: federation.Rules{Holder: ours}, outcome: federation.Refuse, reason: "is the URL the right one", alarms: []string{"already"}},
		{name: "TB_17 its own keys", current: at(5, b("a", "b")), fetched: at(6, b("a again", "b")), rules: federation.Rules{Holder: oneself}, outcome: federation.Accept, reason: "1 X.509 added, 1 X.509 removed"},
		{name: "TB_17 what it has is not contested again", current: at(5, b("a", "b")), fetched: at(6, b("a")), rules: federation.Rules{Holder: ours}, outcome: federation.Accept, reason: "1 X.509 removed"},
		{name: "for our own domain", fetched: at(9, ofAcme(b("a"))), rules: federation.Rules{Own: acme}, outcome: federation.Refuse, reason: "our own trust domain"},
		{name: "for our own domain by an operator", fetched: at(9, ofAcme(b("a"))), rules: federation.Rules{Own: acme, Operator: true}, outcome: federation.Refuse, reason: "our own trust domain"},
		{name: "TB_16 for another domain than the current", current: at(5, b("a")), fetched: at(6, ofAcme(b("a"))), outcome: federation.Refuse, reason: "for acme.example and would replace that of bank.example"},
		{name: "TB_16 for no domain", fetched: &federation.Bundle{}, outcome: federation.Refuse, reason: "no trust domain"},
		{name: "nothing", outcome: federation.Refuse, reason: "no trust domain"},

		// Limits, also for bundles that did not come from Parse.
		{name: "too many authorities", fetched: b("a", "b"), rules: federation.Rules{MaxAuthorities: 1}, outcome: federation.Refuse, reason: "2 authorities, the most is 1"},
		{name: "too many bytes", fetched: b("a", "b"), rules: federation.Rules{MaxBytes: 500}, outcome: federation.Refuse, reason: "bytes, the most is 500"},
		{name: "a leaf", fetched: b("a", "leaf"), outcome: federation.Refuse, reason: "no CA certificate"},
		{name: "a weak root", fetched: b("weak"), outcome: federation.Refuse, reason: "1024 bits"},
		{name: "a weak JWT key", fetched: b("jwt:rsa1024"), outcome: federation.Refuse, reason: "1024 bits"},
		{name: "an Ed25519 JWT key", fetched: b("jwt:ed25519"), outcome: federation.Refuse, reason: "no algorithm"},
		{name: "one ID for two keys", fetched: &federation.Bundle{TrustDomain: bank, JWT: []federation.JWTAuthority{{ID: "x", Key: keys()["p256"].Public()}, {ID: "x", Key: keys()["p384"].Public()}}}, outcome: federation.Refuse, reason: "two JWT authorities"},
		{name: "a JWT key without ID", fetched: &federation.Bundle{TrustDomain: bank, JWT: []federation.JWTAuthority{{Key: keys()["p256"].Public()}}}, outcome: federation.Refuse, reason: "needs a key ID"},
		{name: "a JWT key that is none", fetched: &federation.Bundle{TrustDomain: bank, JWT: []federation.JWTAuthority{{ID: "x", Key: "secret"}}}, outcome: federation.Refuse, reason: "type string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := federation.Admit(tc.current, tc.fetched, tc.rules, time.Now())
			if v.Outcome != tc.outcome || v.Reason == "" || !strings.Contains(v.Reason, tc.reason) {
				t.Errorf("%s: %s; want %s: %s", v.Outcome, v.Reason, tc.outcome, tc.reason)
			}
			if len(v.Alarms) != len(tc.alarms) {
				t.Fatalf("alarms %q, want %q", v.Alarms, tc.alarms)
			}
			for i, words := range tc.alarms {
				if !strings.Contains(v.Alarms[i], words) {
					t.Errorf("alarm %q, want %q", v.Alarms[i], words)
				}
			}
			want := tc.stored
			switch {
			case want != nil:
			case tc.outcome == federation.Accept:
				want = tc.fetched
			default:
				want = tc.current
			}
			if !v.Bundle.Equal(want) {
				t.Errorf("stored %+v, want %+v", v.Bundle, want)
			}
		})
	}
}

// Whatever the guard is given, it changes neither bundle, and what it accepts
// it then finds unchanged.
func TestAdmitIsPureAndSettles(t *testing.T) {
	ours := held(acme, keys()["p384"].Public())
	current, fetched := sample(t), sample(t)
	current.X509, current.JWT, current.Sequence = current.X509[:2], nil, 7
	before, _ := fetched.Marshal()
	first := federation.Admit(current, fetched, federation.Rules{Own: acme, Holder: ours}, time.Now())
	if after, _ := fetched.Marshal(); string(before) != string(after) || first.Outcome != federation.Accept {
		t.Fatalf("%+v", first)
	}
	second := federation.Admit(first.Bundle, fetched, federation.Rules{Own: acme, Holder: ours}, time.Now())
	if second.Outcome != federation.Unchanged || len(second.Held) == 0 {
		t.Errorf("%+v", second)
	}
}

func TestPublish(t *testing.T) {
	b := sample(t)
	p, err := federation.Publish(b)
	if err != nil {
		t.Fatal(err)
	}
	reversed := *b
	reversed.X509 = []*x509.Certificate{b.X509[4], b.X509[3], b.X509[2], b.X509[1], b.X509[0], b.X509[0]}
	q, err := federation.Publish(&reversed)
	if err != nil || string(q.Document) != string(p.Document) || q.ETag != p.ETag || q.Digest != p.Digest || string(q.X509DER) != string(p.X509DER) {
		t.Errorf("another order gives another document: %v", err)
	}
	if want := `"18446744073709551615-`; !strings.HasPrefix(p.ETag, want) || len(p.ETag) != len(want)+33 {
		t.Errorf("ETag %s", p.ETag)
	}
	certs, err := x509.ParseCertificates(p.X509DER)
	if err != nil || len(certs) != len(b.X509) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	b.JWT = append(b.JWT, b.JWT[0])
	if _, err := federation.Publish(b); err == nil || !strings.Contains(err.Error(), "two JWT authorities") {
		t.Errorf("one ID twice: %v", err)
	}
}
