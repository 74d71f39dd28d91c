package registrar_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestAReadThatCannotCatchUpIsUnavailableAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memcluster.New(t, acme, memcluster.Options{})
		who := memcluster.Reader
		who.SeenIndex = c.View().Index() + 1
		began := time.Now()
		_, err := c.Registrar.Status(t.Context(), who)
		wantCode(t, err, broker.Unavailable)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %s, want a second", waited)
		}
	})
}

func TestWhatACallerSaysOfARequestIsBounded(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for name, change := range map[string]func(*broker.Caller){
		"a long request ID": func(who *broker.Caller) { who.RequestID = strings.Repeat("x", 129) },
		"a long cause":      func(who *broker.Caller) { who.Cause = strings.Repeat("x", 1025) },
		"no UTF-8":          func(who *broker.Caller) { who.Cause = "\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			who := memcluster.Admin
			change(&who)
			_, err := c.Registrar.CreateEntry(t.Context(), who, registrar.CreateEntry{Entry: entry("/web", 1)})
			wantCode(t, err, broker.InvalidArgument)
		})
	}
}

func TestWhatIsNotForTheCallerStaysInternal(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	secret := errors.New("disk /dev/x is on fire")
	c.BeforePropose(func(state.Command) error { return secret })
	_, err := c.Registrar.CreateEntry(t.Context(), memcluster.Admin, registrar.CreateEntry{Entry: entry("/web", 1)})
	if !errors.Is(err, secret) || broker.CodeOf(err) != "" {
		t.Errorf("error is %v with code %q, want an internal one", err, broker.CodeOf(err))
	}
}

func TestSettingsAreReplaced(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	next := state.DefaultSettings()
	next.RefreshHint = 5 * time.Second
	out, err := c.Registrar.PutSettings(t.Context(), memcluster.Admin, registrar.PutSettings{Settings: next})
	if err != nil || out.Before.RefreshHint != time.Minute || out.After.RefreshHint != 5*time.Second {
		t.Errorf("%+v, %v", out, err)
	}
	if got, err := c.Registrar.Settings(t.Context(), memcluster.Reader); err != nil || got != next {
		t.Errorf("read %+v, %v", got, err)
	}
	for name, change := range map[string]func(*state.Settings){
		"a negative lifetime":               func(s *state.Settings) { s.X509TTL = -1 },
		"an SVID that outlives its issuers": func(s *state.Settings) { s.X509TTL = 2 * s.IntermediateTTL },
		"an authority that ends too early":  func(s *state.Settings) { s.RootTTL = 2 * s.IntermediateTTL },
	} {
		bad := state.DefaultSettings()
		change(&bad)
		if _, err = c.Registrar.PutSettings(t.Context(), memcluster.Admin, registrar.PutSettings{Settings: bad}); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatusCountsWhatThereIs(t *testing.T) {
	c, bank := peers(t)
	create(t, c, entry("/web", 1))
	relate(t, c, registrar.SetRelationship{Relationship: toBank(), Bundle: bundleOf(bank)})
	s, err := c.Registrar.Status(t.Context(), memcluster.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s.Entries != 1 || s.Relationships != 1 || s.Bundles != 1 || s.Agents != 0 || s.TrustDomain != c.TrustDomain() ||
		s.Sequence != c.View().Own().Bundle.Sequence || s.Index != c.View().Index() || s.Digest != c.View().Digest() || s.Node.Name != "n1" {
		t.Errorf("status %+v", s)
	}
	if !c.Registrar.Serving() {
		t.Error("a ready node with a domain does not serve")
	}
	c.Status.Ready = false
	if c.Registrar.Serving() {
		t.Error("a node that is not ready serves")
	}
}

func TestTheLogLevelIsSetAndGoesBack(t *testing.T) {
	var log bytes.Buffer
	c := memcluster.New(t, acme, memcluster.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	levels, err := c.Registrar.SetLogLevel(t.Context(), memcluster.Admin, slog.LevelDebug)
	if err != nil || levels.Current != slog.LevelDebug || levels.Launch != slog.LevelInfo || c.Level.Level() != slog.LevelDebug {
		t.Errorf("%+v, %v, the level is %s", levels, err, c.Level.Level())
	}
	if !strings.Contains(log.String(), "actor=test:admin") {
		t.Errorf("the log does not say who changed it: %s", log.String())
	}
	levels, err = c.Registrar.ResetLogLevel(t.Context(), memcluster.Admin)
	if err != nil || levels.Current != slog.LevelInfo {
		t.Errorf("%+v, %v", levels, err)
	}
}

func TestTheTrailIsReadAndVerified(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	create(t, c, entry("/web", 1))
	if n, err := c.Registrar.VerifyAudit(t.Context(), memcluster.Reader); n.Records != 2 || err != nil {
		t.Errorf("verified %+v, %v", n, err)
	}
	_, err := c.Registrar.Audit(t.Context(), memcluster.Reader, registrar.AuditFilter{Limit: -1})
	wantCode(t, err, broker.InvalidArgument)
}
