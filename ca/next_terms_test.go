package ca_test

import (
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/ca"
)

func TestTermsThatCannotBeKeptAreRefused(t *testing.T) {
	good := ca.Terms{Window: -1, AuthorityTTL: 90 * 24 * time.Hour, IntermediateTTL: 24 * time.Hour, JWTTTL: 5 * time.Minute, Staleness: 10 * time.Minute}
	if err := good.Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*ca.Terms)
		want   string
	}{
		"no life":                                {func(t *ca.Terms) { t.JWTTTL = 0 }, "a JWT-SVID is 0s"},
		"a negative limit":                       {func(t *ca.Terms) { t.Staleness = -1 }, "staleness"},
		"a root that cannot vouch for its nodes": {func(t *ca.Terms) { t.AuthorityTTL = 48 * time.Hour }, "cannot vouch"},
	} {
		t.Run(name, func(t *testing.T) {
			terms := good
			c.change(&terms)
			if err := terms.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
