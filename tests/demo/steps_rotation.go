package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// callsASecond is the traffic each way while the key turns; at least 20.
const callsASecond = 30

func turnKey(ctx context.Context, d *demo) error {
	before, err := d.bank.authorities(ctx, "x509")
	if err != nil {
		return err
	}
	d.turned = before["active"]
	if before["prepared"] == "" {
		return fmt.Errorf("bank has no prepared authority: %v", before)
	}
	if d.holder, err = d.startWorkload(ctx, d.teller, "hold", d.bank.workloadSocket(), d.api.address, d.api.id); err != nil {
		return err
	}
	begun := time.Now()
	if err := d.startTraffic(ctx); err != nil {
		return err
	}
	note("%d calls a second each way; each is a new TCP connection and a full handshake", callsASecond)
	if err := d.watchAuthority(ctx, d.turned); err != nil {
		return err
	}
	verified("bank's teller is verified by authority %.8s…", d.turned)

	waited := time.Now()
	err = eventually(ctx, 40*time.Second, func(ctx context.Context) error {
		_, err := d.bank.run(ctx, "authority", "activate", "x509", before["prepared"])
		return err
	})
	if err != nil {
		return err
	}
	verified("bank activated authority %.8s… %s after it was asked to, without force: the publication window is 3 × the hint, 15 s", before["prepared"], time.Since(waited).Round(100*time.Millisecond))
	if err := d.watchAuthority(ctx, before["prepared"]); err != nil {
		return err
	}
	verified("acme's api now verifies bank's teller by authority %.8s…", before["prepared"])
	return d.endTraffic(ctx, begun)
}

func (d *demo) startTraffic(ctx context.Context) error {
	var err error
	rate := fmt.Sprint(callsASecond)
	if d.fromBank, err = d.startWorkload(ctx, d.teller, "traffic", d.bank.workloadSocket(), d.api.address, d.api.id, rate); err != nil {
		return err
	}
	d.fromAcme, err = d.startWorkload(ctx, d.web, "traffic", d.acme.workloadSocket(), d.ledger.address, d.ledger.id, rate)
	return err
}

// watchAuthority waits until acme's api logs that authority as the root of its
// caller's verified chain.
func (d *demo) watchAuthority(ctx context.Context, authority string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Second, fmt.Errorf("acme's api saw no caller by authority %.8s… within 15 s", authority))
	defer cancel()
	for {
		served, err := d.api.next(ctx, "served")
		if err != nil {
			return err
		}
		if served.Authority == authority {
			return nil
		}
	}
}

// endTraffic stops both ways and counts: every call must have succeeded.
func (d *demo) endTraffic(ctx context.Context, begun time.Time) error {
	for _, way := range []struct {
		name string
		w    *workload
	}{{"bank → acme", d.fromBank}, {"acme → bank", d.fromAcme}} {
		way.w.expectEnd()
		if err := way.w.stdin.Close(); err != nil {
			return err
		}
		total, err := way.w.next(ctx, "traffic")
		if err != nil {
			return err
		}
		rate := float64(total.Calls) / time.Since(begun).Seconds()
		if total.Calls != total.Successes {
			return fmt.Errorf("%s: %d calls, %d successes; the last error: %s", way.name, total.Calls, total.Successes, total.Error)
		}
		if rate < 20 {
			return fmt.Errorf("%s: %.1f calls a second, want at least 20", way.name, rate)
		}
		verified("%s: %d calls, %d successes (%.1f a second)", way.name, total.Calls, total.Successes, rate)
	}
	return nil
}

// heldCall has the holder use the SVID that it kept.
func (d *demo) heldCall(ctx context.Context) (report, error) {
	if _, err := fmt.Fprintln(d.holder.stdin); err != nil {
		return report{}, err
	}
	return d.holder.next(ctx, "called")
}

func revokeOldKey(ctx context.Context, d *demo) error {
	before, err := d.heldCall(ctx)
	if err != nil {
		return err
	}
	if before.Error != "" {
		return fmt.Errorf("an SVID of the old key should still be good before the revocation: %s", before.Error)
	}
	verified("an SVID of the old key, kept since before it turned, is still accepted")
	if _, err := d.bank.run(ctx, "authority", "revoke", "x509", d.turned); err != nil {
		return err
	}
	begun := time.Now()
	var words string
	err = eventually(ctx, 15*time.Second, func(ctx context.Context) error {
		d.api.forget()
		called, err := d.heldCall(ctx)
		if err != nil {
			return err
		}
		if called.Error == "" {
			return fmt.Errorf("acme's api still accepts the revoked key")
		}
		served, err := d.api.next(ctx, "served")
		if err != nil {
			return err
		}
		words = served.Error
		return nil
	})
	if err != nil {
		return err
	}
	if !strings.Contains(words, "x509") {
		return fmt.Errorf("acme's api should say that the chain does not verify, it says %q", words)
	}
	refused(fmt.Sprintf("an SVID of bank's revoked key, by acme's api, %s after the revocation (the hint is 5 s)", time.Since(begun).Round(100*time.Millisecond)), words)
	return d.verifyCall(ctx, d.teller, d.bank, "/teller", d.api)
}
