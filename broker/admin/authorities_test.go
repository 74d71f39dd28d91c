package admin_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestAuthoritiesAreListedWithWhenTheyMaySign(t *testing.T) {
	s := serve(t, memcluster.Options{})
	all := get[client.Authorities](t, s, "/v1/authorities").Authorities
	var told []string
	for _, a := range all {
		told = append(told, a.Use+" "+a.Status)
		if a.ID == "" || a.KeyType != "ec-p256" || a.NotAfter.IsZero() || a.PreparedAt.IsZero() || a.Ready {
			t.Errorf("listed %+v", a)
		}
		if waits := !a.Earliest.IsZero(); waits != (a.Status == "prepared") || waits && !a.Earliest.After(time.Now()) {
			t.Errorf("a %s authority may sign from %s", a.Status, a.Earliest)
		}
	}
	slices.Sort(told) // those that were made in one moment come in any order
	if want := []string{"jwt active", "jwt prepared", "x509 active", "x509 prepared"}; !slices.Equal(told, want) {
		t.Errorf("listed %v, want %v", told, want)
	}
}

func TestAnAuthorityIsActivatedInItsTimeOrByForce(t *testing.T) {
	s := serve(t, memcluster.Options{})
	active, next := s.authority(t, ca.X509, ca.Active), s.authority(t, ca.X509, ca.Prepared)
	path := client.Path("authorities", "x509", next, "activate")
	var earliest time.Time
	for _, a := range get[client.Authorities](t, s, "/v1/authorities").Authorities {
		if a.ID == next {
			earliest = a.Earliest
		}
	}
	wantError(t, s.ask(t, http.MethodPost, path, nil), http.StatusConflict, "failed_precondition", next, earliest.UTC().Format("2006-01-02"))
	wantError(t, s.ask(t, http.MethodPost, path+"?force=maybe", nil, wrong), http.StatusBadRequest, "invalid_argument", "force")
	done := read[client.Outcome[client.Authority]](t, s.ask(t, http.MethodPost, path+"?force=true", nil), http.StatusOK)
	if done.Before.Status != "prepared" || done.After.Status != "active" || done.After.ActivatedAt.IsZero() {
		t.Errorf("activated %+v", done)
	}
	if old := s.authority(t, ca.X509, ca.Old); old != active {
		t.Errorf("old is %s, want %s", old, active)
	}
	wantError(t, s.ask(t, http.MethodPost, client.Path("authorities", "x509", "none", "activate"), nil), http.StatusNotFound, "not_found", "none")
}

func TestAnAuthorityIsPreparedOfTheKindThatIsAskedFor(t *testing.T) {
	s := serve(t, memcluster.Options{NoneWaiting: true})
	path := client.Path("authorities", "jwt", "prepare")
	wantError(t, s.ask(t, http.MethodPost, path+"?key_type=ed25519", nil, wrong), http.StatusBadRequest, "invalid_argument", "ed25519")
	dry := read[client.Outcome[client.Authority]](t, s.ask(t, http.MethodPost, path+"?key_type=ec-p384&dry_run=true", nil), http.StatusOK)
	if dry.After.ID != "" || dry.After.KeyType != "ec-p384" || !dry.After.NotAfter.IsZero() {
		t.Errorf("would prepare %+v", dry.After)
	}
	done := read[client.Outcome[client.Authority]](t, s.ask(t, http.MethodPost, path+"?key_type=ec-p384", nil), http.StatusOK)
	if done.After.KeyType != "ec-p384" || done.After.Status != "prepared" || done.After.ID != s.authority(t, ca.JWT, ca.Prepared) {
		t.Errorf("prepared %+v", done.After)
	}
	wantError(t, s.ask(t, http.MethodPost, path, nil), http.StatusConflict, "failed_precondition", "prepared already")
}

func TestTheActiveAuthorityIsRevokedStepByStep(t *testing.T) {
	s := serve(t, memcluster.Options{})
	active, next := s.authority(t, ca.JWT, ca.Active), s.authority(t, ca.JWT, ca.Prepared)
	wantError(t, s.ask(t, http.MethodPost, client.Path("authorities", "jwt", active, "taint"), nil), http.StatusBadRequest, "invalid_argument", "active")
	done := read[client.Steps](t, s.ask(t, http.MethodPost, client.Path("authorities", "jwt", active, "revoke"), nil), http.StatusOK)
	var told []string
	for _, step := range done.Steps {
		id := step.Before.ID
		if (step.After == nil) != (step.Action == "remove") || step.Index == 0 {
			t.Errorf("step %+v", step)
		}
		told = append(told, step.Action+" "+id)
	}
	if want := []string{"activate " + next, "taint " + active, "remove " + active}; !slices.Equal(told, want) {
		t.Errorf("did %v, want %v", told, want)
	}
	wantError(t, s.ask(t, http.MethodPost, client.Path("authorities", "jwt", next, "revoke"), nil), http.StatusConflict, "failed_precondition", "none is prepared")
	wantError(t, s.ask(t, http.MethodPost, client.Path("authorities", "jwt", active, "revoke"), nil), http.StatusNotFound, "not_found", active)
}
