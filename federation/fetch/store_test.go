package fetch_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// brief is the life of a certificate that is over.
func brief(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }

func TestFD_35_EveryChangeIsStored(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p, l, pool, _ := followed(t, bank, honest(t, bank, 2))
	succeeding(t, pool, bank.td)
	p.now(honest(t, bank, 3))
	succeeding(t, pool, bank.td)
	if puts := l.stored(); len(puts) != 2 || puts[1].Bundle.Sequence != 3 {
		t.Errorf("stored %d", len(puts))
	}
}

func TestFD_36_AnOlderBundleNeverReplacesANewerOne(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p, l, pool, _ := followed(t, bank, honest(t, bank, 5))
	succeeding(t, pool, bank.td)
	p.now(honest(t, bank, 4))
	failing(t, pool, bank.td, "refused", "sequence 4 is older than 5")
	if n := len(l.stored()); n != 1 {
		t.Errorf("stored %d", n)
	}
}

func TestFD_37_WithoutASequenceTheLatestCounts(t *testing.T) {
	bank, next := newAuthority(t, "bank.example"), newAuthority(t, "bank.example")
	plain := func(a *authority) http.HandlerFunc {
		return document(t, &federation.Bundle{TrustDomain: a.td, X509: []*x509.Certificate{a.cert}})
	}
	p, l, pool, _ := followed(t, bank, plain(bank))
	succeeding(t, pool, bank.td)
	p.now(plain(next))
	succeeding(t, pool, bank.td)
	if !l.View().Bundle(bank.td).Bundle.X509[0].Equal(next.cert) {
		t.Error("the first document is still held")
	}
}

func TestTB_17_AKeyOfAnotherDomainIsHeldBack(t *testing.T) {
	bank, ours := newAuthority(t, "bank.example"), newAuthority(t, own.Name())
	p, l, pool, seen := followed(t, bank, document(t, bundle(bank.td, 1, time.Minute, bank)))
	l.set(publish(t, bundle(own, 1, time.Minute, ours)))
	succeeding(t, pool, bank.td)
	p.now(seen.of(document(t, bundle(bank.td, 2, time.Minute, bank, ours))))
	succeeding(t, pool, bank.td)
	for range 2 {
		s := succeeding(t, pool, bank.td)
		if len(s.Alarms) != 1 || !strings.Contains(s.Alarms[0], own.Name()) {
			t.Errorf("alarms %q", s.Alarms)
		}
	}
	if b := l.View().Bundle(bank.td).Bundle; len(b.X509) != 1 || !b.X509[0].Equal(bank.cert) {
		t.Errorf("%d authorities stored", len(b.X509))
	}
	if seen.last() != "" {
		t.Error("the tag of a document that is not held whole was sent")
	}
}

func TestFD_25_TheDomainIsTheRelationshipsWhateverTheDocumentNames(t *testing.T) {
	bank, other := newAuthority(t, "bank.example"), newAuthority(t, "other.example")
	_, l, pool, _ := followed(t, bank, document(t, bundle(bank.td, 2, time.Minute, other)))
	succeeding(t, pool, bank.td)
	if l.View().Bundle(other.td) != nil {
		t.Error("a document brought a bundle for another domain")
	}
	if b := l.View().Bundle(bank.td); b == nil || b.Bundle.TrustDomain != bank.td {
		t.Errorf("stored %v", b)
	}
}

func TestTB_12_AnEmptyBundleIsARevocation(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p, l, pool, _ := followed(t, bank, honest(t, bank, 2))
	succeeding(t, pool, bank.td)
	p.now(document(t, bundle(bank.td, 3, time.Minute)))
	succeeding(t, pool, bank.td)
	if !l.View().Bundle(bank.td).Bundle.Empty() {
		t.Error("revoked authorities are still held")
	}
}

// What may go wrong between "accepted" and "stored".
func TestStoring(t *testing.T) {
	setup := func(t *testing.T) (*authority, *peer, *ledger, *fetch.Pool) {
		bank := newAuthority(t, "bank.example")
		p, l, pool, _ := followed(t, bank, honest(t, bank, 2))
		succeeding(t, pool, bank.td)
		p.now(honest(t, bank, 3))
		p.hits.Store(0)
		return bank, p, l, pool
	}
	t.Run("refused once, for want of a leader: stored without another fetch", func(t *testing.T) {
		bank, p, l, pool := setup(t)
		failures := 1
		l.refuse = func(context.Context, *federation.Published) error {
			if failures--; failures >= 0 {
				return errors.New("no leader")
			}
			return nil
		}
		if s := succeeding(t, pool, bank.td); s.Sequence != 3 || p.hits.Load() != 1 {
			t.Errorf("sequence %d after %d fetches", s.Sequence, p.hits.Load())
		}
	})
	t.Run("stored, but reported as failed: a success", func(t *testing.T) {
		bank, p, l, pool := setup(t)
		l.after = func() error { return errors.New("the outcome is unknown") }
		if s := succeeding(t, pool, bank.td); s.Sequence != 3 || s.Changes != 2 || p.hits.Load() != 1 {
			t.Errorf("status %+v after %d fetches", s, p.hits.Load())
		}
	})
	t.Run("somebody else was first: judged again", func(t *testing.T) {
		bank, p, l, pool := setup(t)
		once := true
		l.refuse = func(context.Context, *federation.Published) error {
			if once {
				once = false
				l.set(publish(t, bundle(bank.td, 9, time.Minute, bank)))
			}
			return nil
		}
		s := failing(t, pool, bank.td, "sequence 3 is older than 9")
		if s.Sequence != 9 || p.hits.Load() != 1 {
			t.Errorf("sequence %d after %d fetches", s.Sequence, p.hits.Load())
		}
	})
	t.Run("the relationship went: nothing is stored", func(t *testing.T) {
		bank, p, l, pool := setup(t)
		p.now(func(w http.ResponseWriter, r *http.Request) {
			l.part(bank.td)
			honest(t, bank, 3)(w, r)
		})
		// Run hears of it before or after the poll has noticed.
		if s, err := pool.Refresh(t.Context(), bank.td); err != nil && !errors.Is(err, fetch.ErrNoRelationship) || err == nil && s.LastError == "" {
			t.Errorf("error %v, status %+v", err, s)
		}
		if n := len(l.stored()); n != 1 || l.View().Bundle(bank.td) != nil {
			t.Errorf("stored %d", n)
		}
	})
}

func TestFD_44_EveryFetchIsLogged(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	var log bytes.Buffer // written by one poller, read when nobody polls
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	l := newLedger()
	l.relate(web(bank.td, p.url+"/?token=s3cr3t", ca))
	pool := run(t, l, fetch.Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	succeeding(t, pool, bank.td)
	p.now(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cr3t", http.StatusTeapot) })
	failing(t, pool, bank.td, "418")
	failing(t, pool, bank.td, "418")
	p.now(honest(t, bank, 2))
	succeeding(t, pool, bank.td)

	if strings.Contains(log.String(), "s3cr3t") {
		t.Error("the log has a secret")
	}
	var lines []map[string]any
	for d := json.NewDecoder(bytes.NewReader(log.Bytes())); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	levels := map[string]int{}
	for _, line := range lines {
		levels[line["level"].(string)+" "+line["msg"].(string)]++
		for _, key := range []string{"trust_domain", "url", "took"} {
			if line[key] == nil {
				t.Errorf("no %s in %v", key, line)
			}
		}
		if line["error"] == nil && (line["peer_certificate"] == nil || line["sequence"] == nil) {
			t.Errorf("no peer or sequence in %v", line)
		}
	}
	for _, want := range []string{"INFO bundle changed", "WARN bundle fetch failed", "DEBUG bundle fetch failed again", "INFO bundle fetch succeeds again"} {
		if levels[want] != 1 {
			t.Errorf("%d lines %q, want 1: %v", levels[want], want, levels)
		}
	}
}
