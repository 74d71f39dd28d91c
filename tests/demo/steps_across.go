package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func federate(ctx context.Context, d *demo) error {
	bundle, err := d.bank.run(ctx, "bundle", "show", "--format", "spiffe")
	if err != nil {
		return err
	}
	file := filepath.Join(d.dir, "bank.bundle.json")
	if err := os.WriteFile(file, bundle, 0o644); err != nil {
		return err
	}
	acme, err := d.acme.addresses()
	if err != nil {
		return err
	}
	bank, err := d.bank.addresses()
	if err != nil {
		return err
	}
	note("acme gets bank's first bundle as a file; bank gets the certificate of the CA that vouches for acme's endpoint")
	if _, err := d.acme.run(ctx, "federation", "create", d.bank.name, "--url", "https://"+bank.Bundle,
		"--profile", "https_spiffe", "--endpoint-id", d.bank.id("/spire/server"), "--bundle", file); err != nil {
		return err
	}
	if _, err := d.bank.run(ctx, "federation", "create", d.acme.name, "--url", "https://"+acme.Bundle,
		"--profile", "https_web", "--roots", filepath.Join(d.dir, webCAFile)); err != nil {
		return err
	}
	for _, pair := range [][2]*domain{{d.acme, d.bank}, {d.bank, d.acme}} {
		if err := waitActive(ctx, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// waitActive waits until home has fetched peer's bundle from its endpoint.
func waitActive(ctx context.Context, home, peer *domain) error {
	var r relationship
	err := eventually(ctx, 15*time.Second, func(ctx context.Context) error {
		var err error
		if r, err = ask[relationship](ctx, home, "federation", "show", peer.name); err != nil {
			return err
		}
		if r.Status.State != "active" {
			return fmt.Errorf("the relationship is %s: %s", r.Status.State, r.Status.LastError)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s follows %s: %w", home.name, peer.name, err)
	}
	verified("%s follows %s: active, sequence %d", home.name, peer.name, r.Status.Sequence)
	return nil
}

func speakAcross(ctx context.Context, d *demo) error {
	ledger, err := d.program("bank-ledger")
	if err != nil {
		return err
	}
	if d.teller, err = d.program("bank-teller"); err != nil {
		return err
	}
	for path, program := range map[string]string{"/ledger": ledger, "/teller": d.teller} {
		if err := d.bank.register(ctx, path, program, d.acme.name); err != nil {
			return err
		}
	}
	if d.ledger, err = d.startWorkload(ctx, ledger, "serve", d.bank.workloadSocket()); err != nil {
		return err
	}
	// acme's api has run since before bank was known: the bundle is pushed to it, as
	// soon as go-spiffe has come back to the node that was killed.
	if err := eventually(ctx, 10*time.Second, func(ctx context.Context) error {
		return d.verifyCall(ctx, d.teller, d.bank, "/teller", d.api)
	}); err != nil {
		return err
	}
	return d.verifyCall(ctx, d.web, d.acme, "/web", d.ledger)
}

func tokenAcross(ctx context.Context, d *demo) error {
	token, err := d.once(ctx, "jwt", d.teller, "token", d.bank.workloadSocket(), d.acme.id("/api"))
	if err != nil {
		return err
	}
	valid, err := d.once(ctx, "valid", filepath.Join(d.dir, "acme-api"), "validate", d.acme.workloadSocket(), d.acme.id("/api"), token.Token)
	if err != nil {
		return err
	}
	if valid.ID != d.bank.id("/teller") {
		return fmt.Errorf("the token is %q's, want %s", valid.ID, d.bank.id("/teller"))
	}
	verified("acme validated a token of %s for the audience %s", valid.ID, d.acme.id("/api"))
	return nil
}

// refuse shows three refusals; none is decided by the demo's own programs.
func refuse(ctx context.Context, d *demo) error {
	if err := refuseUnfederated(ctx, d); err != nil {
		return err
	}
	if err := refuseUnregistered(ctx, d); err != nil {
		return err
	}
	return refuseAudience(ctx, d)
}

func refuseUnfederated(ctx context.Context, d *demo) error {
	program, err := d.program("acme-payroll")
	if err != nil {
		return err
	}
	if err := d.acme.register(ctx, "/payroll", program); err != nil {
		return err
	}
	payroll, err := d.startWorkload(ctx, program, "serve", d.acme.workloadSocket())
	if err != nil {
		return err
	}
	defer payroll.stop()
	called, err := d.callOnce(ctx, d.teller, d.bank, payroll)
	if err == nil {
		return fmt.Errorf("%s answered %s, although its entry federates with nobody", payroll.id, called.ID)
	}
	served, err := payroll.next(ctx, "served")
	if err != nil {
		return err
	}
	if served.Error == "" || !strings.Contains(served.Error, "bundle") {
		return fmt.Errorf("%s should say that it has no bundle for the caller's domain, it says %+v", payroll.id, served)
	}
	refused("bank's teller, by acme's payroll, whose entry does not federate with bank.example", served.Error)
	return nil
}

func refuseUnregistered(ctx context.Context, d *demo) error {
	program, err := d.program("stranger")
	if err != nil {
		return err
	}
	shown, err := d.once(ctx, "svid", program, "show", d.acme.workloadSocket())
	if err == nil {
		return fmt.Errorf("a program without an entry became %s", shown.ID)
	}
	if !strings.Contains(err.Error(), "PermissionDenied") {
		return fmt.Errorf("want PermissionDenied, got: %w", err)
	}
	refused("a program that no entry of acme matches", err.Error())
	return nil
}

func refuseAudience(ctx context.Context, d *demo) error {
	token, err := d.once(ctx, "jwt", d.teller, "token", d.bank.workloadSocket(), "spiffe://acme.example/somebody-else")
	if err != nil {
		return err
	}
	valid, err := d.once(ctx, "valid", filepath.Join(d.dir, "acme-api"), "validate", d.acme.workloadSocket(), d.acme.id("/api"), token.Token)
	if err == nil {
		return fmt.Errorf("acme accepted a token of %s that was made for another audience", valid.ID)
	}
	if !strings.Contains(err.Error(), "aud") {
		return errors.Join(errors.New("the refusal should speak of the audience"), err)
	}
	refused("a JWT-SVID of bank's teller that was made for another audience", err.Error())
	return nil
}
