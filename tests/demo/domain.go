package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// domain is one organization: a node and its command line. Of one with several
// nodes it is the view of whoever works at one of them.
type domain struct {
	stage *stage
	name  string
	dir   string // the node's data directory
	as    string // the node's name; "": it is the only one, and named by its host
	args  []string
	node  *process
}

// called is what messages name the node.
func (o *domain) called() string {
	if o.as == "" {
		return "the node of " + o.name
	}
	return "the node " + o.as + " of " + o.name
}

func (o *domain) workloadSocket() string { return filepath.Join(o.dir, "workload.sock") }

// id returns the SPIFFE ID of a workload of this domain.
func (o *domain) id(path string) string { return "spiffe://" + o.name + path }

// addresses are what the node listens on, as it wrote them down.
type addresses struct {
	API    string `json:"api"`
	Raft   string `json:"raft"`
	Bundle string `json:"bundle"`
	Ops    string `json:"ops"`
}

// start runs the node and waits until it is ready; it returns how long that took.
func (o *domain) start(ctx context.Context, more ...string) (time.Duration, error) {
	if more != nil {
		o.args = more
	}
	begun := time.Now()
	if err := o.launch("run"); err != nil {
		return 0, err
	}
	err := o.answers(ctx)
	return time.Since(begun), err
}

// join starts the node as a new member of the cluster that made the token.
func (o *domain) join(ctx context.Context, token string) error {
	if err := o.launch("join", "-"); err != nil {
		return err
	}
	// Not as an argument: whoever lists the processes would see it.
	if _, err := fmt.Fprintln(o.node.stdin, token); err != nil {
		return err
	}
	if err := o.node.stdin.Close(); err != nil {
		return err
	}
	return o.answers(ctx)
}

// launch starts the node's program.
func (o *domain) launch(verb ...string) error {
	os.Remove(filepath.Join(o.dir, "addresses.json")) // an earlier run's
	args := append([]string{"node"}, verb...)
	args = append(args, "--trust-domain", o.name, "--data-dir", o.dir,
		"--listen-api", "127.0.0.1:0", "--listen-bundle", "127.0.0.1:0",
		"--listen-raft", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0",
		"--refresh-hint", "5s")
	if o.as != "" {
		args = append(args, "--node-name", o.as)
	}
	var err error
	o.node, err = o.stage.start(o.called(), true, o.stage.concord, append(args, o.args...)...)
	return err
}

// answers waits until the node answers its operator.
func (o *domain) answers(ctx context.Context) error {
	return eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		_, err := o.run(ctx, "status")
		return err
	})
}

func (o *domain) addresses() (addresses, error) {
	var a addresses
	text, err := os.ReadFile(filepath.Join(o.dir, "addresses.json"))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	return a, err
}

// run executes a command of the domain's operator, as a person would.
func (o *domain) run(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.stage.concord, append(args, "--socket", filepath.Join(o.dir, "admin.sock"), "-o", "json")...)
	cmd.Dir = o.stage.dir
	var failure bytes.Buffer
	cmd.Stderr = &failure
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("concord %s (%s): %w: %s", strings.Join(args, " "), o.name, err, strings.TrimSpace(failure.String()))
	}
	return output, nil
}

// ask executes a command and reads its JSON answer.
func ask[T any](ctx context.Context, o *domain, args ...string) (T, error) {
	var answer T
	output, err := o.run(ctx, args...)
	if err == nil {
		err = json.Unmarshal(output, &answer)
	}
	return answer, err
}

// entry is what the demo reads of a registration entry.
type entry struct {
	ID       string `json:"id"`
	SPIFFEID string `json:"spiffe_id"`
}

// register creates an entry for the program at path.
func (o *domain) register(ctx context.Context, path, program string, federatesWith ...string) error {
	args := []string{"entry", "create", "--spiffe-id", o.id(path), "--selector", "unix:path:" + program}
	for _, peer := range federatesWith {
		args = append(args, "--federates-with", peer)
	}
	_, err := o.run(ctx, args...)
	return err
}

func (o *domain) entries(ctx context.Context) ([]entry, error) {
	list, err := ask[struct {
		Entries []entry `json:"entries"`
	}](ctx, o, "entry", "list")
	return list.Entries, err
}

// authority is what the demo reads of a signing authority.
type authority struct {
	ID     string `json:"id"`
	Use    string `json:"use"`
	Status string `json:"status"`
}

func (o *domain) authorities(ctx context.Context, use string) (map[string]string, error) {
	list, err := ask[struct {
		Authorities []authority `json:"authorities"`
	}](ctx, o, "authority", "list")
	if err != nil {
		return nil, err
	}
	byStatus := map[string]string{}
	for _, a := range list.Authorities {
		if a.Use == use {
			byStatus[a.Status] = a.ID
		}
	}
	return byStatus, nil
}

// relationship is what the demo reads of a relationship.
type relationship struct {
	TrustDomain string `json:"trust_domain"`
	Status      struct {
		State     string `json:"state"`
		Sequence  uint64 `json:"sequence"`
		LastError string `json:"last_error"`
	} `json:"status"`
}

// eventually repeats try until it succeeds; the last error is the answer.
func eventually(ctx context.Context, within time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %s", within))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %v", context.Cause(ctx), err)
		}
	}
}
