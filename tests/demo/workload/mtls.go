package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const callTimeout = 5 * time.Second

func source(ctx context.Context, socket string) (*workloadapi.X509Source, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+socket)))
}

// root names the authority of a verified chain.
func root(chains [][]*x509.Certificate) string {
	if len(chains) == 0 {
		return ""
	}
	return hex.EncodeToString(chains[0][len(chains[0])-1].SubjectKeyId)
}

// serve answers each connection with one line: the caller's ID as verified.
func serve(ctx context.Context, args []string) error {
	if err := want(args, 1); err != nil {
		return err
	}
	src, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	defer src.Close()
	svid, err := src.GetX509SVID()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	say(report{Event: "ready", ID: svid.ID.String(), Address: listener.Addr().String()})

	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			if err := answer(conn, src); err != nil {
				say(report{Event: "served", Error: err.Error()})
			}
		})
	}
}

// answer authorizes whoever the bundles on hand verify: which bundles those
// are is what the demo is about.
func answer(raw net.Conn, src *workloadapi.X509Source) error {
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	var caller spiffeid.ID
	var authority string
	config := tlsconfig.MTLSServerConfig(src, src, func(id spiffeid.ID, chains [][]*x509.Certificate) error {
		caller, authority = id, root(chains)
		return nil
	})
	config.SessionTicketsDisabled = true
	conn := tls.Server(raw, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, caller); err != nil {
		return err
	}
	say(report{Event: "served", Peer: caller.String(), Authority: authority})
	return conn.Close()
}

// dial makes one call on a new TCP connection with a full handshake.
func dial(ctx context.Context, address, callee string, svid x509svid.Source, bundles x509bundle.Source) (report, error) {
	expected, err := spiffeid.FromString(callee)
	if err != nil {
		return report{}, err
	}
	var authority string
	authorize := tlsconfig.AuthorizeID(expected)
	config := tlsconfig.MTLSClientConfig(svid, bundles, func(id spiffeid.ID, chains [][]*x509.Certificate) error {
		authority = root(chains)
		return authorize(id, chains)
	})
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return report{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return report{}, err
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return report{}, fmt.Errorf("the callee hung up: %w", err)
	}
	return report{Event: "called", ID: line[:len(line)-1], Peer: callee, Authority: authority}, nil
}

func call(ctx context.Context, args []string) error {
	if err := want(args, 3); err != nil {
		return err
	}
	src, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := dial(ctx, args[1], args[2], src, src)
	if err != nil {
		return err
	}
	say(r)
	return nil
}

// traffic calls RATE times a second until standard input ends, and says how it
// went, or has gone so far at each line of input; every call counts, whatever
// came of it.
func traffic(ctx context.Context, args []string) error {
	if err := want(args, 4); err != nil {
		return err
	}
	rate, err := strconv.Atoi(args[3])
	if err != nil || rate < 1 || rate > 1000 {
		return fmt.Errorf("rate %q: want calls a second, 1 to 1000", args[3])
	}
	src, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	defer src.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	total := report{Event: "traffic"}
	sayTotal := func() {
		mu.Lock()
		defer mu.Unlock()
		say(total)
	}
	go func() { // ends with the process: a read of standard input cannot be called off
		defer stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			sayTotal()
		}
	}()
	say(report{Event: "ready"})

	var open sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for ctx.Err() == nil {
		open.Go(func() {
			_, err := dial(context.WithoutCancel(ctx), args[1], args[2], src, src)
			mu.Lock()
			defer mu.Unlock()
			total.Calls++
			if err == nil {
				total.Successes++
			} else {
				total.Error = err.Error()
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	open.Wait()
	sayTotal()
	return nil
}

// hold keeps the SVID of now and makes a call with it at each line of input,
// as somebody would who had stolen it.
func hold(ctx context.Context, args []string) error {
	if err := want(args, 3); err != nil {
		return err
	}
	src, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	defer src.Close()
	svid, err := src.GetX509SVID()
	if err != nil {
		return err
	}
	say(report{Event: "ready", ID: svid.ID.String()})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		r, err := dial(ctx, args[1], args[2], svid, src)
		if err != nil {
			r = report{Event: "called", Error: err.Error()}
		}
		say(r)
	}
	return nil
}
