// Command workload is a program as any organization would write it: it knows
// go-spiffe and a Workload API socket, and nothing of Concord. The demo starts
// copies of it under other names, because it is by their paths that an agent
// tells them apart.
//
// What it sees it prints as one JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// report is one line of output.
type report struct {
	Event     string   `json:"event"`               // "ready", "served", "called", "traffic", "svid", "jwt", "valid", "error"
	ID        string   `json:"id,omitempty"`        // our SPIFFE ID, or the token's subject
	Peer      string   `json:"peer,omitempty"`      // the SPIFFE ID at the other end
	Authority string   `json:"authority,omitempty"` // root of the verified chain, or of our own SVID: subject key ID in hex
	Address   string   `json:"address,omitempty"`
	Error     string   `json:"error,omitempty"`
	Token     string   `json:"token,omitempty"`
	Audience  []string `json:"audience,omitempty"`
	Calls     int      `json:"calls,omitempty"`
	Successes int      `json:"successes,omitempty"`
	Bundles   []string `json:"bundles,omitempty"`
}

var printing sync.Mutex

func say(r report) {
	printing.Lock()
	defer printing.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

type mode struct {
	usage string
	run   func(ctx context.Context, args []string) error
}

var modes = map[string]mode{
	"serve":    {"serve SOCKET: answer mTLS calls; says who called and by which authority", serve},
	"call":     {"call SOCKET ADDRESS CALLEE-ID: one call", call},
	"traffic":  {"traffic SOCKET ADDRESS CALLEE-ID RATE: calls until standard input ends; says how they went, at each line of input too", traffic},
	"hold":     {"hold SOCKET ADDRESS CALLEE-ID: keep today's SVID, make a call with it at each line of input", hold},
	"show":     {"show SOCKET: our identity and whose bundles we have", show},
	"token":    {"token SOCKET AUDIENCE: fetch a JWT-SVID", token},
	"validate": {"validate SOCKET AUDIENCE TOKEN: have a JWT-SVID validated", validate},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 {
		usage()
	}
	m, ok := modes[os.Args[1]]
	if !ok {
		usage()
	}
	if err := m.run(ctx, os.Args[2:]); err != nil {
		say(report{Event: "error", Error: err.Error()})
		os.Exit(1)
	}
}

func usage() {
	for _, m := range modes {
		fmt.Fprintln(os.Stderr, "usage: workload", m.usage)
	}
	os.Exit(2)
}

// want checks the number of arguments of a mode.
func want(args []string, n int) error {
	if len(args) != n {
		return fmt.Errorf("got %d arguments, want %d", len(args), n)
	}
	return nil
}
