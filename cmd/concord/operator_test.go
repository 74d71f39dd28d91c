package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// TestOperator is what an operator does with one node.
func TestOperator(t *testing.T) {
	w := startWorld(t)
	t.Run("Transcripts", w.transcripts)
	t.Run("UpdatesOfSeveralPeopleAreAllThere", w.concurrentUpdates)
	t.Run("AuditFollowEndsWithCtrlC", w.follow)
	t.Run("WatchEndsWithCtrlC", w.watch)
	t.Run("WhatIsMintedIsWhole", w.mint)
	t.Run("AuthoritiesOfTheUseAreCompleted", w.completeAuthorities)
	t.Run("AuditRecordShowsEveryField", w.auditShow)
	t.Run("ABackupReplacesNothingUnasked", w.backup)
}

// must runs a command line that must succeed, and reads its JSON answer.
func must[T any](t *testing.T, args ...string) (answer T) {
	t.Helper()
	got := concord(t.Context(), "", append(args, "-o", "json")...)
	if got.code != exitDone {
		t.Fatalf("concord %s: exit %d: %s", strings.Join(args, " "), got.code, got.err)
	}
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil {
		t.Fatalf("concord %s: %v: %s", strings.Join(args, " "), err, got.out)
	}
	return answer
}

func (w *world) concurrentUpdates(t *testing.T) {
	must[client.Outcome[client.Entry]](t, "entry", "create", "--id", "shared", "--spiffe-id", "spiffe://acme.example/shared", "--selector", "unix:uid:4714")
	peers := []string{"a.example", "b.example", "c.example", "d.example"}
	var all sync.WaitGroup
	for _, peer := range peers {
		all.Go(func() {
			if got := concord(t.Context(), "", "entry", "update", "shared", "--add-federates-with", peer); got.code != exitDone {
				t.Errorf("add %s: %s", peer, got.err)
			}
		})
	}
	all.Wait()
	e := must[client.Entry](t, "entry", "show", "shared")
	if !slices.Equal(e.FederatesWith, peers) {
		t.Errorf("it federates with %v, want %v", e.FederatesWith, peers)
	}
	must[client.Outcome[client.Entry]](t, "entry", "delete", "shared")
}

// running is a command that goes on until it is interrupted.
type running struct {
	interrupt context.CancelFunc
	lines     *bufio.Scanner
	ended     chan int
	errors    *strings.Builder // complete when ended says so
}

func start(t *testing.T, args ...string) *running {
	ctx, interrupt := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(interrupt)
	reader, writer := io.Pipe()
	r := &running{interrupt: interrupt, lines: bufio.NewScanner(reader), ended: make(chan int, 1), errors: &strings.Builder{}}
	r.lines.Buffer(nil, 1<<20)
	go func() {
		code := run(ctx, args, streams{strings.NewReader(""), writer, r.errors})
		writer.Close()
		r.ended <- code
	}()
	return r
}

// nextLine reads the next line as JSON.
func nextLine[T any](t *testing.T, r *running) (answer T) {
	t.Helper()
	if !r.lines.Scan() {
		t.Fatalf("it ended: exit %d: %s", <-r.ended, r.errors)
	}
	if err := json.Unmarshal(r.lines.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, r.lines.Text())
	}
	return answer
}

// interrupted checks that Ctrl-C is a good end.
func (r *running) interrupted(t *testing.T) {
	t.Helper()
	r.interrupt()
	for r.lines.Scan() {
	}
	if code := <-r.ended; code != exitDone || r.errors.Len() > 0 {
		t.Errorf("exit %d: %q, want 0 and nothing", code, r.errors)
	}
}

func (w *world) follow(t *testing.T) {
	from := must[client.Status](t, "status").Index
	r := start(t, "audit", "follow", "--after", number(from), "--subject", "entry/*", "-o", "json")
	must[client.Outcome[client.Entry]](t, "entry", "create", "--id", "seen", "--spiffe-id", "spiffe://acme.example/seen", "--selector", "unix:uid:4715", "--cause", "ticket 14")
	if got := nextLine[client.AuditRecord](t, r); got.Subject != "entry/seen" || got.Kind != "put_entry" || got.Cause != "ticket 14" {
		t.Errorf("the record is %+v", got)
	}
	must[client.Outcome[client.Entry]](t, "entry", "delete", "seen")
	if got := nextLine[client.AuditRecord](t, r); got.Kind != "delete_entry" || got.Index <= from {
		t.Errorf("the record is %+v", got)
	}
	r.interrupted(t)
}

func (w *world) watch(t *testing.T) {
	mine := w.newMask().unmask(t, "<me>")
	must[client.Outcome[client.Entry]](t, "entry", "create", "--id", "one", "--spiffe-id", "spiffe://acme.example/one", "--selector", mine)
	r := start(t, "svid", "watch", "-o", "json")
	if got := nextLine[x509Answer](t, r); len(got.SVIDs) != 1 || got.SVIDs[0].SPIFFEID != "spiffe://acme.example/one" {
		t.Errorf("the first answer is %+v", got)
	}
	must[client.Outcome[client.Entry]](t, "entry", "create", "--id", "two", "--spiffe-id", "spiffe://acme.example/two", "--selector", mine)
	if got := nextLine[x509Answer](t, r); len(got.SVIDs) != 2 {
		t.Errorf("the second answer is %+v", got)
	}
	r.interrupted(t)
	must[client.Outcome[client.Entry]](t, "entry", "delete", "one")
	must[client.Outcome[client.Entry]](t, "entry", "delete", "two")
}

func (w *world) mint(t *testing.T) {
	for _, kind := range keyTypes()[:3] { // an RSA key of 4096 bits takes seconds to make
		dir := t.TempDir()
		answer := must[written](t, "svid", "mint", "x509", dir, "--spiffe-id", "spiffe://acme.example/legacy", "--dns", "legacy.acme.example", "--ttl", "10m", "--key-type", kind)
		if len(answer.Files) != 3 {
			t.Errorf("%s: it wrote %+v", kind, answer.Files)
		}
		keyFile := filepath.Join(dir, keyName)
		if info, err := os.Stat(keyFile); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the key's file: %v, %v", kind, info.Mode(), err)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, chainName), keyFile)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		roots, err := os.ReadFile(filepath.Join(dir, bundleName("acme.example")))
		if err != nil {
			t.Fatal(err)
		}
		if got := blocks(roots); len(got) < 2 {
			t.Errorf("%s: the bundle's file has %v", kind, got)
		}
		options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: "legacy.acme.example"}
		options.Roots.AppendCertsFromPEM(roots)
		for _, der := range pair.Certificate[1:] {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			options.Intermediates.AddCert(c)
		}
		if _, err := pair.Leaf.Verify(options); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if ends := time.Until(pair.Leaf.NotAfter); ends > 10*time.Minute || pair.Leaf.URIs[0].String() != "spiffe://acme.example/legacy" {
			t.Errorf("%s: %v ends in %s", kind, pair.Leaf.URIs, ends)
		}
	}
}

func (w *world) completeAuthorities(t *testing.T) {
	var want []string
	for _, a := range must[client.Authorities](t, "authority", "list").Authorities {
		if a.Use == "jwt" {
			want = append(want, a.ID+"\t"+a.Status)
		}
	}
	got := strings.Split(concord(t.Context(), "", "__complete", "authority", "taint", "jwt", "").out, "\n")
	if len(want) < 2 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("Tab offers %q, want %q", got, want)
	}
}

func (w *world) auditShow(t *testing.T) {
	out := must[client.Outcome[client.Entry]](t, "entry", "create", "--id", "shown", "--spiffe-id", "spiffe://acme.example/shown", "--selector", "unix:uid:4716")
	got := concord(t.Context(), "", "audit", "show", number(out.Index))
	for _, want := range []string{"entry/shown", "concord entry create", "+ spiffe_id", "spiffe://acme.example/shown"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it does not say %q:\n%s%s", want, got.out, got.err)
		}
	}
	must[client.Outcome[client.Entry]](t, "entry", "delete", "shown")
}

func TestAnInterruptedCommandFails(t *testing.T) {
	w := shortDir(t)
	listener, err := net.Listen("unix", filepath.Join(w, "silent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			cancel() // it has asked, and waits
			defer conn.Close()
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	got := concord(ctx, "", "status", "--socket", listener.Addr().String())
	if got.code != exitFailed || got.err != "concord: interrupted before it was done\n" {
		t.Errorf("exit %d: %s", got.code, got.err)
	}
}

func TestANodeThatIsSilentDoesNotHoldTheShell(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(shortDir(t), "silent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	begun := time.Now()
	got := concord(t.Context(), "", "__complete", "entry", "show", "--socket", listener.Addr().String(), "")
	if took := time.Since(begun); got.code != exitDone || got.out != ":4\n" || took > 10*completionPatience {
		t.Errorf("after %s: exit %d: %q %q", took, got.code, got.out, got.err)
	}
}

func TestEachShellHasItsScript(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := concord(t.Context(), "", "completion", shell); got.code != exitDone || !strings.Contains(got.out, "concord") || got.err != "" {
			t.Errorf("%s: exit %d: %.100s %s", shell, got.code, got.out, got.err)
		}
	}
}

func TestVersionIsKnown(t *testing.T) {
	if got := must[build](t, "version"); got.Version == "" || !strings.HasPrefix(got.Go, "go") || got.Platform == "" {
		t.Errorf("it says %+v", got)
	}
	if got := concord(t.Context(), "", "--version"); got.code != exitDone || !strings.HasPrefix(got.out, "concord version ") {
		t.Errorf("it says %q", got.out)
	}
}
