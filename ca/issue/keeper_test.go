package issue_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/concord-id/concord/ca"
)

// signedNow is the root that an SVID made now chains to, "" if there is none.
func (n *node) signedNow(t *testing.T) string {
	t.Helper()
	svid, err := n.issuer.X509SVID(ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour}, time.Now())
	if errors.Is(err, ca.ErrNotReady) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range n.Authorities(ca.X509) {
		root, err := a.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := x509svid.Verify(chain(t, svid), bundleOf(root)); err == nil {
			if a.ID != svid.AuthorityID {
				t.Errorf("the SVID chains to %s and says %s", a.ID, svid.AuthorityID)
			}
			return a.ID
		}
	}
	t.Fatal("FD_3: an SVID chains to no published authority")
	return ""
}

func TestANodeIssuesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		defer n.halt(t)
		if err := n.issuer.Ready(time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := n.signedNow(t); got != n.x509.ID {
			t.Errorf("signed by %s, want %s", got, n.x509.ID)
		}
		if n.issuer.JWT().ID() != n.token.ID {
			t.Errorf("tokens by %s, want %s", n.issuer.JWT().ID(), n.token.ID)
		}
		if turned := n.turned(); !slices.Equal(turned, []ca.Use{ca.JWT, ca.X509}) {
			t.Errorf("turned %v", turned)
		}
		if err := n.keeper.Trouble(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheIntermediateIsRenewedAtHalfOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		defer n.halt(t)
		n.turned()
		first := n.issuer.X509()
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if n.issuer.X509() != first {
			t.Error("renewed before half of its life")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		second := n.issuer.X509()
		if second == first || second.AuthorityID() != first.AuthorityID() {
			t.Error("not renewed at half of its life")
		}
		if left := time.Until(second.NotAfter()); left < 22*time.Hour {
			t.Errorf("the new one ends in %s", left)
		}
		if first.Certificate().PublicKey.(*ecdsa.PublicKey).Equal(second.Certificate().PublicKey) {
			t.Error("the new one has the old one's key")
		}
		if turned := n.turned(); len(turned) > 0 {
			t.Errorf("a renewal by the same root turned %v: every SVID would be signed anew", turned)
		}
		time.Sleep(30 * day)
		synctest.Wait()
		if err := n.issuer.Ready(time.Now()); err != nil {
			t.Error(err)
		}
		if asked := n.root.count(); asked < 60 || asked > 70 {
			t.Errorf("asked the root %d times in 31 days, want about 64", asked)
		}
	})
}

func TestANewActiveAuthoritySignsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		defer n.halt(t)
		n.turned()
		n.activate(n.next.ID)
		n.activate(n.nextToken.ID)
		synctest.Wait()
		if n.issuer.JWT().ID() != n.nextToken.ID {
			t.Error("tokens are not signed by the new key at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := n.signedNow(t); got != n.next.ID {
			t.Errorf("after a second signed by %s, want %s", got, n.next.ID)
		}
		if turned := n.turned(); !slices.Equal(turned, []ca.Use{ca.JWT, ca.X509}) {
			t.Errorf("turned %v", turned)
		}
		if n.root.count() != 2 {
			t.Errorf("asked the root %d times, want 2", n.root.count())
		}
	})
}

func TestFD_3_NothingIsSignedByAnAuthorityThatLeftTheBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		defer n.halt(t)
		n.root.failing(errors.New("no leader"))
		n.remove(n.x509.ID)
		n.remove(n.token.ID)
		synctest.Wait()
		if err := n.issuer.Ready(time.Now()); !errors.Is(err, ca.ErrNotReady) {
			t.Errorf("ready: %v", err)
		}
		if n.issuer.X509() != nil || n.issuer.JWT() != nil {
			t.Error("a removed authority still signs")
		}
		n.root.failing(nil)
		n.activate(n.next.ID)
		n.activate(n.nextToken.ID)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := n.signedNow(t); got != n.next.ID {
			t.Errorf("signed by %s, want %s", got, n.next.ID)
		}
	})
}

func TestAFailingRootCostsNothingUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := found(t)
		n.change(func(l *ledger) { l.terms.IntermediateTTL = time.Hour })
		n.run(t)
		defer n.halt(t)
		synctest.Wait()
		n.root.failing(errors.New("no leader"))
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if got := n.signedNow(t); got != n.x509.ID {
			t.Errorf("signed by %q while its intermediate is good", got)
		}
		if err := n.keeper.Trouble(); err == nil || !strings.Contains(err.Error(), "no leader") {
			t.Errorf("trouble: %v", err)
		}
		if asked := n.root.count(); asked < 100 || asked > 6*33+20 {
			t.Errorf("asked %d times in half an hour of failure, want some and at most one every 10 s", asked)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := n.signedNow(t); got != "" {
			t.Error("signed by an intermediate that ended")
		}
		if _, err := n.issuer.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"a"}, TTL: time.Minute}, time.Now()); err != nil {
			t.Errorf("tokens need no intermediate: %v", err)
		}
		n.root.failing(nil)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := n.signedNow(t); got != n.x509.ID || n.keeper.Trouble() != nil {
			t.Errorf("signed by %q after the leader came back, trouble %v", got, n.keeper.Trouble())
		}
	})
}

func TestAChangingLedgerDoesNotHurryAFailingRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := found(t)
		n.root.failing(errors.New("no leader"))
		n.run(t)
		defer n.halt(t)
		for range 1000 {
			n.change(func(*ledger) {})
			time.Sleep(time.Millisecond)
		}
		if asked := n.root.count(); asked > 6 {
			t.Errorf("asked %d times in a second", asked)
		}
	})
}

func TestIntermediatesThatAreRefused(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *node){
		"by a root that is not published": func(t *testing.T, n *node) {
			stranger := n.stranger(t)
			n.answerBy(stranger, stranger.ID)
		},
		"by a root that is not published, under a published name": func(t *testing.T, n *node) {
			n.answerBy(n.stranger(t), n.x509.ID)
		},
		"of another trust domain": func(t *testing.T, n *node) {
			n.root.LocalRoot.Domain.TrustDomain = spiffeid.RequireTrustDomainFromString("bank.example")
			n.root.LocalRoot.Domain.Keys = acmesKeys{n.domain.Keys}
		},
		"for another key": func(t *testing.T, n *node) {
			der, err := n.domain.SignIntermediate(n.x509, ecKey(t, elliptic.P256()).Public(), day, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			n.root.answer = func([]byte, string) ([]byte, string) { return der, n.x509.ID }
		},
		"by a root that is old here": func(t *testing.T, n *node) {
			n.root.answer = func(der []byte, id string) ([]byte, string) {
				n.activate(n.next.ID) // while the answer is on its way
				return der, id
			}
		},
		"that ended": func(t *testing.T, n *node) {
			n.change(func(l *ledger) { l.terms.IntermediateTTL = -time.Second })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := found(t)
				prepare(t, n)
				n.run(t)
				defer n.halt(t)
				synctest.Wait()
				if n.issuer.X509() != nil {
					t.Error("taken")
				}
				if err := n.keeper.Trouble(); err == nil || !strings.Contains(err.Error(), "intermediate") {
					t.Errorf("trouble: %v, want a reason", err)
				}
				if n.issuer.JWT() == nil {
					t.Error("tokens suffer from it")
				}
			})
		})
	}
}

func TestTheKeeperOfARootThatEndsIsCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		defer n.halt(t)
		time.Sleep(89 * day)
		before := n.root.count()
		time.Sleep(day + time.Hour)
		synctest.Wait()
		if asked := n.root.count() - before; asked > 500 {
			t.Errorf("asked %d times in the last day and the hour after it", asked)
		}
		if got := n.signedNow(t); got != "" {
			t.Error("signed after the root ended")
		}
	})
}

func TestAKeyThatCannotBeOpenedIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := found(t)
		n.set(n.token.ID, func(a *ca.Authority) { a.Sealed = []byte("damaged") })
		n.run(t)
		defer n.halt(t)
		synctest.Wait()
		if err := n.keeper.Trouble(); err == nil || !strings.Contains(err.Error(), n.token.ID) {
			t.Errorf("trouble: %v, want one that names the authority", err)
		}
		if n.signedNow(t) != n.x509.ID || n.issuer.JWT() != nil {
			t.Error("X.509 suffers from it")
		}
		n.set(n.token.ID, func(a *ca.Authority) { a.Sealed = n.token.Sealed })
		time.Sleep(time.Second)
		synctest.Wait()
		if n.issuer.JWT() == nil || n.keeper.Trouble() != nil {
			t.Errorf("not opened after it was repaired: %v", n.keeper.Trouble())
		}
	})
}

func TestTheKeeperWaitsForTheDomainToBeFounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := found(t)
		authorities := n.authorities
		n.authorities = nil
		n.run(t)
		defer n.halt(t)
		synctest.Wait()
		if n.root.count() > 0 || n.keeper.Trouble() != nil {
			t.Errorf("asked %d times, trouble %v", n.root.count(), n.keeper.Trouble())
		}
		n.change(func(l *ledger) { l.authorities = authorities })
		synctest.Wait()
		if got := n.signedNow(t); got != n.x509.ID {
			t.Errorf("signed by %q", got)
		}
	})
}

func TestTheKeeperEndsWithItsLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := keep(t)
		broken := errors.New("the feed ended")
		n.change(func(l *ledger) { l.broken = broken })
		if err := <-n.ended; !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
	})
}
