package admin_test

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestStatusShowsTheNodeAndTheDomain(t *testing.T) {
	f := furnish(t)
	f.Status.Members = []registrar.Member{{ID: "9f", Address: "127.0.0.1:8300", Voter: true}}
	f.Status.Addresses = map[string]string{"api": "127.0.0.1:8081"}
	f.Status.Staleness, f.Status.Ready, f.Status.Reasons = 2*time.Second, false, []string{"the log is being read"}
	st := get[client.Status](t, f.served, "/v1/status")
	digest, head := f.View().Digest(), f.View().AuditHead()
	if st.TrustDomain != acme || st.ClusterID != "test" || st.Node != "n1" || st.Ready || st.Reasons[0] != "the log is being read" || st.Leader != "n1" || !st.Leading ||
		len(st.Members) != 1 || st.Addresses["api"] != "127.0.0.1:8081" || time.Duration(st.Staleness) != 2*time.Second || st.Index != f.View().Index() ||
		st.Digest != hex.EncodeToString(digest[:]) || st.AuditHead != hex.EncodeToString(head[:]) || st.Entries != 1 || st.Agents != 1 || st.Bundles != 1 ||
		st.Sequence != f.View().Own().Bundle.Sequence || time.Duration(st.Settings.RefreshHint) != time.Minute || st.Peers["pending"] != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestStatusAnswersBeforeTheDomainIsSetUp(t *testing.T) {
	s := serve(t, memcluster.Options{Unfounded: true})
	if st := get[client.Status](t, s, "/v1/status"); st.TrustDomain != "" || st.Sequence != 0 {
		t.Errorf("status %+v", st)
	}
	for _, path := range []string{"/v1/settings", "/v1/authorities", "/v1/bundles/" + bank} {
		wantError(t, s.ask(t, http.MethodGet, path, nil), http.StatusServiceUnavailable, "unavailable", "not set up yet")
	}
}

func TestSettingsAreReplacedAsAWhole(t *testing.T) {
	s := serve(t, memcluster.Options{})
	now := get[client.Settings](t, s, "/v1/settings")
	now.RefreshHint, now.PublicationWindow = client.Duration(5*time.Second), 0
	out := read[client.Outcome[client.Settings]](t, s.ask(t, http.MethodPut, "/v1/settings", now), http.StatusOK)
	if time.Duration(out.Before.RefreshHint) != time.Minute || *out.After != now || get[client.Settings](t, s, "/v1/settings") != now {
		t.Errorf("set %+v", out)
	}
	for member := range fieldsOf(t, now) {
		fewer := fieldsOf(t, now)
		delete(fewer, member)
		wantError(t, s.ask(t, http.MethodPut, "/v1/settings", fewer, wrong), http.StatusBadRequest, "invalid_argument", member+" is missing")
		fewer[member] = json.RawMessage("null")
		wantError(t, s.ask(t, http.MethodPut, "/v1/settings", fewer, wrong), http.StatusBadRequest, "invalid_argument", member+" is null")
	}
	now.X509TTL = client.Duration(2 * time.Duration(now.IntermediateTTL))
	wantError(t, s.ask(t, http.MethodPut, "/v1/settings", now), http.StatusBadRequest, "invalid_argument", "longer than the intermediate's")
}

// fieldsOf are the members of a document.
func fieldsOf(t testing.TB, document any) (members map[string]json.RawMessage) {
	t.Helper()
	text, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		t.Fatal(err)
	}
	return members
}

func TestTheLogLevelIsSetAndGoesBack(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError, "debug-4": slog.LevelDebug - 4, "info": slog.LevelInfo} {
		out := read[client.Outcome[client.LogLevel]](t, s.ask(t, http.MethodPut, "/v1/log-level", client.LogLevel{Level: text}), http.StatusOK)
		if s.Level.Level() != want || out.After.Level != text || out.After.Launch != "info" || out.Index != 0 {
			t.Errorf("%s: the level is %s, answered %+v", text, s.Level.Level(), out.After)
		}
		if got := get[client.LogLevel](t, s, "/v1/log-level"); got != *out.After {
			t.Errorf("read %+v", got)
		}
	}
	s.Level.Set(slog.LevelError)
	out := read[client.Outcome[client.LogLevel]](t, s.ask(t, http.MethodDelete, "/v1/log-level", nil), http.StatusOK)
	if s.Level.Level() != slog.LevelInfo || out.Before.Level != "error" || out.After.Level != "info" {
		t.Errorf("reset: %+v", out)
	}
	for _, body := range []string{`{"level":"loud"}`, `{"level":""}`, `{"launch":"info"}`, `{"level":"info+` + strings.Repeat("9", 40) + `"}`} {
		wantError(t, s.ask(t, http.MethodPut, "/v1/log-level", body, wrong), http.StatusBadRequest, "invalid_argument", "level")
	}
}
