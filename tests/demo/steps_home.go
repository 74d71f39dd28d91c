package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// everyStep is the story. The first ones are what --up leaves running.
var everyStep = []step[*demo]{
	{"Two organizations start a node each", startNodes},
	{"At home: two workloads of acme.example speak mTLS", speakAtHome},
	{"acme's node is killed (SIGKILL) and restarted", killAndRestart},
	{"Each organization follows the other's bundle", federate},
	{"Across the border: mTLS between acme and bank, both ways", speakAcross},
	{"A JWT-SVID goes across", tokenAcross},
	{"Three who must be refused are refused", refuse},
	{"bank's X.509 key turns under traffic", turnKey},
	{"bank revokes the old key", revokeOldKey},
}

// stepsUntilFederated is how many of them --up performs.
const stepsUntilFederated = 5

func startNodes(ctx context.Context, d *demo) error {
	certificate, key, err := webCertificate(d.dir)
	if err != nil {
		return err
	}
	took, err := d.acme.start(ctx, "--bundle-profile", "https_web", "--bundle-cert", certificate, "--bundle-key", key)
	if err != nil {
		return err
	}
	verified("acme.example is up after %s; it serves its bundle as https_web, with certificate files of its own CA", took.Round(time.Millisecond))
	if took, err = d.bank.start(ctx, "--bundle-profile", "https_spiffe"); err != nil {
		return err
	}
	verified("bank.example is up after %s; it serves its bundle as https_spiffe", took.Round(time.Millisecond))
	return nil
}

func speakAtHome(ctx context.Context, d *demo) error {
	api, err := d.program("acme-api")
	if err != nil {
		return err
	}
	if d.web, err = d.program("acme-web"); err != nil {
		return err
	}
	for path, program := range map[string]string{"/api": api, "/web": d.web} {
		if err := d.acme.register(ctx, path, program, d.bank.name); err != nil {
			return err
		}
	}
	note("entries federate with bank.example already; a domain without a bundle is an absent peer, not an error")
	if d.api, err = d.startWorkload(ctx, api, "serve", d.acme.workloadSocket()); err != nil {
		return err
	}
	return d.verifyCall(ctx, d.web, d.acme, "/web", d.api)
}

// verifyCall makes one call and checks who each side says the other is.
func (s *stage) verifyCall(ctx context.Context, program string, home *domain, path string, callee *workload) error {
	callee.forget()
	called, err := s.callOnce(ctx, program, home, callee)
	if err != nil {
		return err
	}
	served, err := callee.next(ctx, "served")
	if err != nil {
		return err
	}
	caller := home.id(path)
	if called.ID != caller || served.Peer != caller || called.Peer != callee.id {
		return fmt.Errorf("the caller should be %s: it was told %q, the callee saw %q (%s)", caller, called.ID, served.Peer, served.Error)
	}
	verified("%s called %s; each verified the other's chain (authorities %.8s… and %.8s…)", caller, callee.id, served.Authority, called.Authority)
	return nil
}

func killAndRestart(ctx context.Context, d *demo) error {
	before, err := d.acme.authorities(ctx, "x509")
	if err != nil {
		return err
	}
	entriesBefore, err := d.acme.entries(ctx)
	if err != nil {
		return err
	}
	if err := d.acme.node.kill(); err != nil {
		return err
	}
	begun := time.Now()
	restarted := make(chan error, 1)
	go func() {
		_, err := d.acme.start(ctx)
		restarted <- err
	}()
	var first report
	err = eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		var err error
		first, err = d.once(ctx, "svid", d.web, "show", d.acme.workloadSocket())
		return err
	})
	took := time.Since(begun)
	if startErr := <-restarted; startErr != nil {
		return startErr
	}
	if err != nil {
		return err
	}
	if took > time.Second {
		return fmt.Errorf("the first SVID came %s after the restart, want under a second", took.Round(time.Millisecond))
	}
	verified("first SVID (%s) %s after the restart", first.ID, took.Round(time.Millisecond))

	after, err := d.acme.authorities(ctx, "x509")
	if err != nil {
		return err
	}
	entriesAfter, err := d.acme.entries(ctx)
	if err != nil {
		return err
	}
	if before["active"] == "" || before["active"] != after["active"] {
		return fmt.Errorf("the root was %q and is %q", before["active"], after["active"])
	}
	if len(entriesBefore) != 2 || fmt.Sprint(entriesBefore) != fmt.Sprint(entriesAfter) {
		return fmt.Errorf("the entries were %v and are %v", entriesBefore, entriesAfter)
	}
	verified("same root (%.8s…), same %d entries", after["active"], len(entriesAfter))
	return nil
}

// stay leaves the two domains to a person.
func (d *demo) stay(ctx context.Context) int {
	fmt.Printf("\nBoth domains are running; Ctrl-C ends them. In another terminal:\n\n")
	for _, o := range []*domain{d.acme, d.bank} {
		a, err := o.addresses()
		if err != nil {
			fmt.Println("demo:", err)
			return 1
		}
		fmt.Printf("  # %s: bundle endpoint https://%s, operations http://%s/ready\n", o.name, a.Bundle, a.Ops)
		fmt.Printf("  export CONCORD_SOCKET=%s CONCORD_WORKLOAD_SOCKET=%s\n", filepath.Join(o.dir, "admin.sock"), o.workloadSocket())
		for _, try := range []string{"status", "entry list", "federation list", "bundle show", "authority list"} {
			fmt.Printf("  %s %s\n", d.concord, try)
		}
		fmt.Println()
	}
	fmt.Printf("  # a workload of acme: what it is, and whose bundles it has\n  %s show %s\n", d.web, d.acme.workloadSocket())
	select {
	case <-ctx.Done():
		return 0
	case err := <-d.died:
		fmt.Println("demo:", err)
		return 1
	}
}
