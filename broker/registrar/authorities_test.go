package registrar_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

// stage is the one authority of a use with a status.
func stage(t testing.TB, c *memcluster.Cluster, use ca.Use, status ca.Status) ca.Authority {
	t.Helper()
	list, err := c.Registrar.Authorities(t.Context(), memcluster.Reader, use)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Status == status {
			return a
		}
	}
	t.Fatalf("no %s authority is %s", use, status)
	return ca.Authority{}
}

func TestAnAuthorityTurnsFromPreparedToRemoved(t *testing.T) {
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		t.Run(use.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { turn(t, use) })
		})
	}
}

func turn(t *testing.T, use ca.Use) {
	c := memcluster.New(t, acme, memcluster.Options{})
	ctx, r := t.Context(), c.Registrar
	first, next := stage(t, c, use, ca.Active), stage(t, c, use, ca.Prepared)
	ready, err := r.Readiness(ctx, memcluster.Reader, use)
	if err != nil || len(ready) != 1 || ready[0].Ready || !ready[0].Earliest.Equal(next.PreparedAt.Add(3*time.Minute)) {
		t.Fatalf("readiness %+v, %v; want not before three hints of a minute", ready, err)
	}
	_, err = r.ActivateAuthority(ctx, memcluster.Admin, registrar.ChangeAuthority{Use: use, ID: next.ID}, false)
	wantCode(t, err, broker.FailedPrecondition)
	if want := ready[0].Earliest.UTC().Format(time.RFC3339); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not name the time %s", err, want)
	}
	time.Sleep(3 * time.Minute)
	out, err := r.ActivateAuthority(ctx, memcluster.Admin, registrar.ChangeAuthority{Use: use, ID: next.ID}, false)
	if err != nil || out.Before.Status != ca.Prepared || out.After.Status != ca.Active {
		t.Fatalf("activated %+v, %v", out, err)
	}
	old := stage(t, c, use, ca.Old)
	longest := map[ca.Use]time.Duration{ca.X509: 24 * time.Hour, ca.JWT: 5 * time.Minute}[use]
	if vouches := old.VouchesUntil.Sub(old.OldAt); old.ID != first.ID || vouches != longest+memcluster.Staleness+ca.ClockMargin {
		t.Errorf("the old one vouches for %s", vouches)
	}
	_, err = r.RemoveAuthority(ctx, memcluster.Node, registrar.ChangeAuthority{Use: use, ID: first.ID}, false)
	wantCode(t, err, broker.FailedPrecondition)
	tainted, err := r.TaintAuthority(ctx, memcluster.Admin, registrar.ChangeAuthority{Use: use, ID: first.ID})
	if err != nil || tainted.Before.Tainted || !tainted.After.Tainted {
		t.Errorf("tainted %+v, %v", tainted, err)
	}
	gone, err := r.RemoveAuthority(ctx, memcluster.Admin, registrar.ChangeAuthority{Use: use, ID: first.ID}, true)
	if err != nil || gone.Before == nil || gone.After != nil {
		t.Errorf("removed %+v, %v", gone, err)
	}
}

func TestAnOldJWTAuthorityVouchesForTheLongestToken(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	e := entry("/batch", 1)
	e.JWTTTL = 2 * time.Hour
	create(t, c, e)
	next := stage(t, c, ca.JWT, ca.Prepared)
	if _, err := c.Registrar.ActivateAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.JWT, ID: next.ID}, true); err != nil {
		t.Fatal(err)
	}
	old := stage(t, c, ca.JWT, ca.Old)
	if got, want := old.VouchesUntil.Sub(old.OldAt), 2*time.Hour+memcluster.Staleness+ca.ClockMargin; got != want {
		t.Errorf("vouches for %s, want %s", got, want)
	}
}

func TestPrepareAuthorityMakesAKeyOfTheWantedKind(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{NoneWaiting: true, KeyType: ca.P384})
	out, err := c.Registrar.PrepareAuthority(t.Context(), memcluster.Admin, registrar.PrepareAuthority{Use: ca.X509})
	if err != nil || out.After.KeyType != ca.P384 || out.After.Status != ca.Prepared || out.After.Sealed != nil {
		t.Errorf("prepared %+v, %v; want the kind of the active one, without its key", out.After, err)
	}
	again, err := c.Registrar.PrepareAuthority(t.Context(), memcluster.Admin, registrar.PrepareAuthority{Use: ca.X509})
	wantCode(t, err, broker.FailedPrecondition)
	if again.Before == nil || again.Before.ID != out.After.ID {
		t.Errorf("Before is %+v, want the one that waits", again.Before)
	}
	dry, err := c.Registrar.PrepareAuthority(t.Context(), memcluster.Admin, registrar.PrepareAuthority{Use: ca.JWT, KeyType: ca.P256, DryRun: true})
	if err != nil || dry.After == nil || dry.After.ID != "" || len(c.View().Authorities(ca.JWT)) != 1 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	for _, kind := range []ca.KeyType{"ed25519", "rsa-1024"} {
		_, err = c.Registrar.PrepareAuthority(t.Context(), memcluster.Admin, registrar.PrepareAuthority{Use: ca.JWT, KeyType: kind})
		wantCode(t, err, broker.InvalidArgument)
	}
}

func TestARetriedPreparationMakesOneAuthority(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{NoneWaiting: true})
	who := memcluster.Admin
	who.RequestID = "req-1"
	ids := map[string]bool{}
	for range 2 {
		out, err := c.Registrar.PrepareAuthority(t.Context(), who, registrar.PrepareAuthority{Use: ca.JWT})
		if err != nil {
			t.Fatal(err)
		}
		ids[out.After.ID] = true
	}
	if len(ids) != 1 || len(c.View().Authorities(ca.JWT)) != 2 {
		t.Errorf("prepared %v of %d", ids, len(c.View().Authorities(ca.JWT)))
	}
}

func TestTheActiveAuthorityIsNotTainted(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	active := stage(t, c, ca.X509, ca.Active)
	_, err := c.Registrar.TaintAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: active.ID})
	wantCode(t, err, broker.InvalidArgument)
	_, err = c.Registrar.TaintAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: "none"})
	wantCode(t, err, broker.NotFound)
	_, err = c.Registrar.TaintAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: 9, ID: "none"})
	wantCode(t, err, broker.InvalidArgument)
}

func TestRevokeAuthorityTakesEveryStepThatIsNeeded(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	active, next := stage(t, c, ca.X509, ca.Active), stage(t, c, ca.X509, ca.Prepared)
	dry, err := c.Registrar.RevokeAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: active.ID, DryRun: true})
	if err != nil || len(dry) != 1 || dry[0].Verb != "activate" || stage(t, c, ca.X509, ca.Active).ID != active.ID {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	steps, err := c.Registrar.RevokeAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: active.ID})
	if err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, s := range steps {
		verbs = append(verbs, s.Verb)
	}
	if got := strings.Join(verbs, " "); got != "activate taint remove" {
		t.Errorf("steps: %s", got)
	}
	if list := c.View().Authorities(ca.X509); len(list) != 1 || list[0].ID != next.ID || list[0].Status != ca.Active {
		t.Errorf("left: %+v", list)
	}
	_, err = c.Registrar.RevokeAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: next.ID})
	wantCode(t, err, broker.FailedPrecondition) // nothing is prepared to take its place
	_, err = c.Registrar.RevokeAuthority(t.Context(), memcluster.Admin, registrar.ChangeAuthority{Use: ca.X509, ID: active.ID})
	wantCode(t, err, broker.NotFound)
}
