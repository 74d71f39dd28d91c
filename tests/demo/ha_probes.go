package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
)

// How often each probe of a node tries, and how long one attempt may take.
const (
	issuanceEvery, issuanceWithin = 20 * time.Millisecond, time.Second
	bundleEvery, bundleWithin     = 50 * time.Millisecond, 2 * time.Second
	writesEvery, writesWithin     = 100 * time.Millisecond, 10 * time.Second
)

// probes ask one node, all the time, for what it is there for. They are of one
// start of the node: after the next its addresses are others.
type probes struct {
	issuance *gauge // a new JWT-SVID
	bundle   *gauge // its bundle endpoint, with a full handshake
	writes   *gauge // a new entry, acknowledged
	workload *workloadapi.Client
}

// watch starts the probes of a node that is up.
func (h *ha) watch(ctx context.Context, m *member) error {
	api, err := workloadapi.New(context.WithoutCancel(ctx), workloadapi.WithAddr("unix://"+m.workloadSocket()))
	if err != nil {
		return err
	}
	m.probes = &probes{
		issuance: startGauge(issuanceEvery, issuanceWithin, fetchesTokens(api)),
		bundle:   startGauge(bundleEvery, bundleWithin, fetchesBundles(h.trust, m.bound.Bundle)),
		writes:   startGauge(writesEvery, writesWithin, h.createsEntries(m)),
		workload: api,
	}
	return nil
}

// unwatch ends the probes of a node that goes down, or of one that is not watched.
func (m *member) unwatch() {
	if m.probes == nil {
		return
	}
	m.probes.issuance.end()
	m.probes.bundle.end()
	m.probes.writes.end()
	m.probes.workload.Close()
	m.probes = nil
}

// fetchesTokens has a JWT-SVID issued that was not seen before.
func fetchesTokens(api *workloadapi.Client) func(context.Context) error {
	var last string
	return func(ctx context.Context) error {
		svid, err := api.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "spiffe://bank.example/ledger"})
		if err != nil {
			return err
		}
		if svid.Marshal() == last {
			return errors.New("the same JWT-SVID as before")
		}
		last = svid.Marshal()
		return nil
	}
}

// fetchesBundles does what a partner does: it opens a connection that is verified by
// the bundle on hand, and reads a bundle.
func fetchesBundles(trust *spiffebundle.Bundle, address string) func(context.Context) error {
	server := spiffeid.RequireFromPath(trust.TrustDomain(), "/spire/server")
	return func(ctx context.Context) error {
		transport := &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   tlsconfig.TLSClientConfig(trust, tlsconfig.AuthorizeID(server)),
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			return err
		}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the bundle endpoint answers %s", answer.Status)
		}
		_, err = spiffebundle.Read(trust.TrustDomain(), io.LimitReader(answer.Body, 1<<20))
		return err
	}
}

// createsEntries makes an entry that matches nobody.
func (h *ha) createsEntries(m *member) func(context.Context) error {
	return func(ctx context.Context) error {
		id := m.id(fmt.Sprintf("/written/%d", h.writes.next()))
		err := m.admin.Do(ctx, http.MethodPost, client.Path("entries"), nil, client.Entry{SPIFFEID: id, Selectors: []string{"unix:path:/nonexistent"}}, nil)
		if err == nil {
			h.writes.acknowledged(id)
		}
		return err
	}
}

// ready asks the node's operations port.
func (m *member) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.bound.Ops+"/ready", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("/ready answers %s: %s", answer.Status, text)
	}
	return nil
}
