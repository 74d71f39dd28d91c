package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// Ten thousand peers whose bundles do not change.
const (
	manyPeers     = 10_000
	peersHint     = time.Minute
	peersFirst    = 75 * time.Second // until each was polled once
	peersLook     = time.Minute      // then they are watched so long
	peersShare    = 0.15             // of one core
	peersStale    = 1.2              // × hint
	peersKeptByte = 64 << 10         // bytes for each, with its connection
)

// peersRow follows ten thousand peers over loopback, whose endpoint is another
// process. The floor is net/http making the same number of conditional requests
// on connections that it keeps.
func peersRow(ctx context.Context) (seen result, err error) {
	if err := enoughDescriptors(); err != nil {
		return result{}, err
	}
	server, err := startPeers(ctx)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	floor, err := floorPeers(ctx, server.address, server.roots)
	if err != nil {
		return result{}, fmt.Errorf("floor: %w", err)
	}
	before, err := resident("/proc/self/status")
	if err != nil {
		return result{}, err
	}
	pool := fetch.New(fetch.Options{Ledger: newPeerLedger(server.address, server.roots), Store: keepNothing{}})
	running, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	var ended error
	work.Go(func() { ended = pool.Run(running) })
	defer work.Wait()
	defer stop()
	if err := pause(ctx, peersFirst); err != nil {
		return result{}, err
	}
	busy := processorTime()
	if err := pause(ctx, peersLook); err != nil {
		return result{}, err
	}
	share := (processorTime() - busy).Seconds() / peersLook.Seconds()
	after, err := resident("/proc/self/status")
	if err != nil {
		return result{}, err
	}
	each := float64(after-before) / manyPeers
	oldest, wrong := stalest(pool)
	if wrong != "" || ended != nil {
		return result{}, errors.Join(ended, errors.New(wrong))
	}
	return result{
		floor: fmt.Sprintf("%.1f %% core", 100*floor), ours: fmt.Sprintf("%.1f %% core", 100*share),
		ratio: fmt.Sprintf("%.0f KiB, %.2f ×", each/1024, oldest.Seconds()/peersHint.Seconds()),
		met:   share < peersShare && each <= peersKeptByte && oldest.Seconds() <= peersStale*peersHint.Seconds(),
	}, nil
}

// stalest returns how long ago the peer was confirmed that was confirmed longest ago.
func stalest(pool *fetch.Pool) (oldest time.Duration, wrong string) {
	all := pool.Statuses()
	if len(all) != manyPeers {
		return 0, fmt.Sprintf("%d peers are followed", len(all))
	}
	for name, s := range all {
		if s.LastError != "" || s.LastSuccess.IsZero() {
			return 0, fmt.Sprintf("%s: %d polls, %s", name, s.Polls, s.LastError)
		}
		oldest = max(oldest, s.Age)
	}
	return oldest, ""
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// processorTime is how long this process has kept a core busy.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // only a wrong argument makes it fail (getrusage(2))
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// peerLedger has ten thousand relationships, each with a bundle.
type peerLedger struct {
	relationships []federation.Relationship
	byName        map[spiffeid.TrustDomain]int
	bundles       []*federation.Published
}

func newPeerLedger(address string, roots []byte) *peerLedger {
	l := &peerLedger{byName: map[spiffeid.TrustDomain]int{}}
	for i := range manyPeers {
		td := spiffeid.RequireTrustDomainFromString(fmt.Sprintf("peer-%d.example", i))
		l.byName[td] = i
		l.relationships = append(l.relationships, federation.Relationship{TrustDomain: td, URL: fmt.Sprintf("https://%s/%d", address, i), Profile: federation.HTTPSWeb, Roots: roots})
		l.bundles = append(l.bundles, nil)
	}
	document, _, err := federation.Parse(benchDomain, []byte(peersDocument))
	if err != nil {
		panic(err)
	}
	for td, i := range l.byName {
		own := *document
		own.TrustDomain = td
		if l.bundles[i], err = federation.Publish(&own); err != nil {
			panic(err)
		}
	}
	return l
}

func (l *peerLedger) View() fetch.View                         { return l }
func (l *peerLedger) Watch() fetch.Watcher                     { return noChange{} }
func (l *peerLedger) TrustDomain() spiffeid.TrustDomain        { return benchDomain }
func (l *peerLedger) Relationships() []federation.Relationship { return l.relationships }
func (l *peerLedger) Bundle(td spiffeid.TrustDomain) *federation.Published {
	return l.bundles[l.byName[td]]
}
func (l *peerLedger) Holder(federation.KeyHash) (td spiffeid.TrustDomain, held bool) {
	return td, false
}

func (l *peerLedger) Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool) {
	i, ok := l.byName[td]
	return l.relationships[i], ok
}

type noChange struct{}

func (noChange) Wait(ctx context.Context) (fetch.Change, error) {
	<-ctx.Done()
	return fetch.Change{}, ctx.Err()
}
func (noChange) Close() {}

type keepNothing struct{}

func (keepNothing) PutBundle(context.Context, *federation.Published, [sha256.Size]byte) error {
	return errors.New("a bundle changed that was not to change")
}

// peersDocument is every peer's bundle: it has no authority, and a hint of a minute.
const peersDocument = `{"keys":[],"spiffe_sequence":1,"spiffe_refresh_hint":60}`

// peersProcess is the endpoint of all peers.
type peersProcess struct {
	cmd     *exec.Cmd
	in      io.Closer
	address string
	roots   []byte
}

func startPeers(ctx context.Context) (*peersProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &peersProcess{cmd: exec.CommandContext(ctx, self, "--part", "peers")}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "" {
		if p.address == "" {
			p.address = lines.Text()
			continue
		}
		p.roots = append(p.roots, lines.Text()+"\n"...)
	}
	return p, lines.Err()
}

func (p *peersProcess) stop() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// servePeers is the process: it prints its address and its certificate, and
// serves until its standard input ends.
func servePeers() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	const tag = `"1-1"`
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, peersDocument)
	})
	server := &http.Server{
		Handler: handler, ErrorLog: log.New(io.Discard, "", 0), IdleTimeout: 10 * time.Minute, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
	fmt.Println(listener.Addr())
	fmt.Println(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))) + "\n")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
