package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

func foundCluster(ctx context.Context, h *ha) error {
	first := h.newMember("n1")
	took, err := first.start(ctx, "--bundle-profile", "https_spiffe")
	if err != nil {
		return err
	}
	if first.bound, err = first.addresses(); err != nil {
		return err
	}
	h.members = append(h.members, first)
	verified("n1 is up after %s: a cluster of one", milliseconds(took))
	for _, name := range []string{"n2", "n3"} {
		if err := h.joins(ctx, h.newMember(name), first); err != nil {
			return err
		}
	}
	return h.verifyTolerance(ctx, first)
}

// verifyTolerance verifies that there are three voters and that one may be lost.
func (h *ha) verifyTolerance(ctx context.Context, via *member) error {
	return eventually(ctx, 15*time.Second, func(ctx context.Context) error {
		c, err := via.cluster(ctx)
		if err != nil {
			return err
		}
		if len(c.Members) != 3 || c.Tolerates != 1 {
			return fmt.Errorf("%s knows %d members, of which %d may be lost", via.as, len(c.Members), c.Tolerates)
		}
		verified("three voters: one may be lost")
		return nil
	})
}

func federateCluster(ctx context.Context, h *ha) error {
	took, err := h.bank.start(ctx, "--bundle-profile", "https_spiffe")
	if err != nil {
		return err
	}
	verified("bank.example is up after %s: one node", milliseconds(took))
	if h.front, err = openFront(); err != nil {
		return err
	}
	h.lead()
	note("bank is given one address of acme's bundle endpoint, %s: what listens there carries TCP to the first node that accepts, in turn", h.front.address())

	acme := h.members[0]
	trust, text, err := readBundle(ctx, acme)
	if err != nil {
		return err
	}
	h.trust = trust
	if err := h.follow(ctx, h.bank, acme.domain, h.front.address(), text); err != nil {
		return err
	}
	bank, err := h.bank.addresses()
	if err != nil {
		return err
	}
	if text, err = h.bank.run(ctx, "bundle", "show", "--format", "spiffe"); err != nil {
		return err
	}
	return h.follow(ctx, acme.domain, h.bank, bank.Bundle, text)
}

// follow has home follow peer, whose first bundle it gets as a file.
func (h *ha) follow(ctx context.Context, home, peer *domain, address string, bundle []byte) error {
	file, err := h.writeBundle(peer.name, bundle)
	if err != nil {
		return err
	}
	if _, err := home.run(ctx, "federation", "create", peer.name, "--url", "https://"+address,
		"--profile", "https_spiffe", "--endpoint-id", peer.id("/spire/server"), "--bundle", file); err != nil {
		return err
	}
	return waitActive(ctx, home, peer)
}

func beginTraffic(ctx context.Context, h *ha) error {
	if err := h.registerAll(ctx); err != nil {
		return err
	}
	for _, m := range h.members {
		if err := h.settle(ctx, m); err != nil {
			return err
		}
		if err := h.watch(ctx, m); err != nil {
			return err
		}
	}
	note("each node of acme has an api and a web; bank's tellers call each api, each web calls bank's ledger: %d calls a second each way,", callsEach*len(h.members))
	note("each on a new TCP connection with a full handshake")
	note("at each node of acme: a JWT-SVID every %s, the bundle endpoint every %s, an entry created every %s", issuanceEvery, bundleEvery, writesEvery)
	return h.during(ctx, "nothing happens", func(p *phase) error {
		from := time.Now()
		if err := wait(ctx, 4*time.Second); err != nil {
			return err
		}
		p.survey(from, h.members)
		return nil
	})
}

// registerAll makes the programs and their entries. This program is a workload
// too: it has JWT-SVIDs issued.
func (h *ha) registerAll(ctx context.Context) error {
	acme := h.members[0].domain
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := acme.register(ctx, "/probe", self); err != nil {
		return err
	}
	var ledger string
	for _, made := range []struct {
		program *string
		name    string
		home    *domain
		path    string
		peer    string
	}{
		{&h.api, "acme-api", acme, "/api", h.bank.name},
		{&h.web, "acme-web", acme, "/web", h.bank.name},
		{&h.teller, "bank-teller", h.bank, "/teller", acme.name},
		{&ledger, "bank-ledger", h.bank, "/ledger", acme.name},
	} {
		if *made.program, err = h.program(made.name); err != nil {
			return err
		}
		if err := made.home.register(ctx, made.path, *made.program, made.peer); err != nil {
			return err
		}
	}
	h.ledger, err = h.startWorkload(ctx, ledger, "serve", h.bank.workloadSocket())
	return err
}

// settle starts the workloads at a node of acme, verifies one call each way, and
// has them call on.
func (h *ha) settle(ctx context.Context, m *member) error {
	api, err := h.startWorkload(ctx, h.api, "serve", m.workloadSocket())
	if err != nil {
		return err
	}
	note("at %s:", m.as)
	if err := h.verifyCall(ctx, h.teller, h.bank, "/teller", api); err != nil {
		return err
	}
	if called, err := h.callOnce(ctx, h.web, m.domain, h.ledger); err != nil {
		return err
	} else if called.ID != m.id("/web") {
		return fmt.Errorf("bank's ledger should see %s, it sees %q", m.id("/web"), called.ID)
	}
	verified("%s called %s", m.id("/web"), h.ledger.id)
	if err := h.call(ctx, "bank → acme", h.teller, h.bank, api); err != nil {
		return err
	}
	return h.call(ctx, "acme → bank", h.web, m.domain, h.ledger)
}

// wait lets time pass in which something is measured.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
