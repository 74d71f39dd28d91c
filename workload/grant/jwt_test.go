package grant_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

func TestWA_18_WA_19_WA_20_WA_21_Tokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		same := memdomain.Selectors("x")
		for i, e := range []workload.Entry{
			{ID: "1", SPIFFEID: h.ID("/a"), Hint: "in"},
			{ID: "2", SPIFFEID: h.ID("/b"), Hint: "in", JWTTTL: time.Hour, ExpiresAt: time.Now().Add(10 * time.Minute)},
			{ID: "3", SPIFFEID: h.ID("/a"), Hint: "out"},
		} {
			e.Selectors, e.CreatedAt = same, time.Now().Add(time.Duration(i)*time.Second)
			h.Put(e)
		}
		all, err := h.grants.JWTSVIDs(t.Context(), same, []string{"aud", "other"}, spiffeid.ID{})
		if err != nil || len(all) != 2 || all[0].ID != h.ID("/a") || all[0].Hint != "in" || all[1].Hint != "" {
			t.Fatalf("%+v %v", all, err)
		}
		if got := time.Until(all[0].ExpiresAt); got > memdomain.JWTTTL || got < memdomain.JWTTTL-time.Second {
			t.Errorf("by default a token lives %s", got)
		}
		if got := time.Until(all[1].ExpiresAt); got > 10*time.Minute {
			t.Errorf("a token outlives its entry: %s", got)
		}
		trust, err := h.grants.Trust(same)
		if err != nil {
			t.Fatal(err)
		}
		for _, svid := range all {
			for _, aud := range []string{"aud", "other"} {
				claims, err := ca.VerifyJWTSVID(svid.Token, aud, keysOf(trust), time.Now())
				if err != nil || claims.ID != svid.ID {
					t.Errorf("%v %v", claims.ID, err)
				}
			}
		}
		one, err := h.grants.JWTSVIDs(t.Context(), same, []string{"aud"}, h.ID("/b"))
		if err != nil || len(one) != 1 || one[0].ID != h.ID("/b") {
			t.Errorf("%+v %v", one, err)
		}
		for _, other := range []spiffeid.ID{h.ID("/c"), spiffeid.RequireFromString("spiffe://bank.example/a")} {
			if _, err := h.grants.JWTSVIDs(t.Context(), same, []string{"aud"}, other); !errors.Is(err, grant.ErrNoIdentity) {
				t.Errorf("%s: %v", other, err)
			}
		}
		if _, err := h.grants.JWTSVIDs(t.Context(), memdomain.Selectors("y"), []string{"aud"}, spiffeid.ID{}); !errors.Is(err, grant.ErrNoIdentity) {
			t.Error(err)
		}
	})
}

func TestWA_26_TrustIsOwnAndFederatedDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		bank, corp := memdomain.New(t, "bank.example"), memdomain.New(t, "corp.example")
		h.SetBundle(bank.Bundle())
		h.SetBundle(corp.Bundle())
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example", "absent.example")})
		trust, err := h.grants.Trust(memdomain.Selectors("/a"))
		if err != nil {
			t.Fatal(err)
		}
		for td, want := range map[string]bool{"acme.example": true, "bank.example": true, "corp.example": false, "absent.example": false} {
			if got := trust.Bundle(domains(td)[0]) != nil; got != want {
				t.Errorf("trusts %s: %v", td, got)
			}
		}
		if _, err := h.grants.Trust(memdomain.Selectors("b")); !errors.Is(err, grant.ErrNoIdentity) {
			t.Error(err)
		}
		h.FailLedger(fmt.Errorf("stale: %w", ca.ErrNotReady))
		if _, err := h.grants.Trust(memdomain.Selectors("/a")); !errors.Is(err, ca.ErrNotReady) {
			t.Error(err)
		}
		if _, err := h.grants.JWTSVIDs(t.Context(), memdomain.Selectors("/a"), []string{"aud"}, spiffeid.ID{}); !errors.Is(err, ca.ErrNotReady) {
			t.Error(err)
		}
	})
}

func TestTokensOfManyIdentitiesFitIntoAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		audience := slices.Repeat([]string{"aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-aud-"}, 64)
		for i := range 1000 {
			h.Put(workload.Entry{ID: fmt.Sprint(i), SPIFFEID: h.ID(fmt.Sprintf("/%d", i)), Selectors: memdomain.Selectors("x")})
		}
		tokens, err := h.grants.JWTSVIDs(t.Context(), memdomain.Selectors("x"), audience, spiffeid.ID{})
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, one := range tokens {
			size += len(one.Token)
		}
		if size > grant.MaxMessageBytes || len(tokens) < 400 {
			t.Errorf("%d tokens of %d bytes", len(tokens), size)
		}
	})
}
