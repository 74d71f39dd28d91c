package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

var (
	acme  = spiffeid.RequireTrustDomainFromString("acme.example")
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// firstDomain is the command that makes the domain; its keys are made once.
var firstDomain = sync.OnceValues(func() (state.Bootstrap, error) {
	domain := issue.Domain{Keys: keys.NewMemory(), Cluster: "cluster", TrustDomain: acme, KeyType: ca.P256}
	c := state.Bootstrap{ClusterID: "cluster", TrustDomain: acme, Settings: state.DefaultSettings()}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		a, err := domain.NewAuthority(use, 90*24*time.Hour, began)
		if err != nil {
			return c, err
		}
		a.Status = ca.Active
		c.Authorities = append(c.Authorities, a)
	}
	return c, nil
})

// act is the author of request id.
func act(id string) broker.Act {
	return broker.Act{Actor: "unix:uid=0", Cause: "test", RequestID: id, At: began}
}

// agent is a command that registers agent n.
func agent(n int) state.Command {
	return state.PutAgent{Agent: state.Agent{ID: agentID(n), Method: "concord:node", AttestedAt: began}}
}

func agentID(n int) spiffeid.ID {
	return spiffeid.RequireFromPath(acme, "/spire/agent/concord/node-"+strconv.Itoa(n))
}

// request is the request ID under which agent n is proposed.
func request(n int) string { return fmt.Sprintf("request-%d", n) }

func open(t testing.TB, opts replica.Options) *replica.Replica {
	t.Helper()
	r, err := tryOpen(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryOpen fills in what opts do not say, and closes at the test's end.
func tryOpen(t testing.TB, opts replica.Options) (*replica.Replica, error) {
	t.Helper()
	if opts.ListenAddr == "" {
		opts.ListenAddr = "127.0.0.1:0"
	}
	opts.Log = quiet
	r, err := replica.Open(t.Context(), opts)
	if err == nil {
		t.Cleanup(func() { closeReplica(t, r) })
	}
	return r, err
}

func closeReplica(t testing.TB, r *replica.Replica) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// patience is how long a test waits for what must happen.
func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// leads waits until r leads.
func leads(t testing.TB, r *replica.Replica) {
	t.Helper()
	if err := r.WaitLeading(patience(t)); err != nil {
		t.Fatalf("it does not lead: %v", err)
	}
}

// makeDomain proposes the domain, without which everything else is refused.
func makeDomain(t testing.TB, r *replica.Replica) {
	t.Helper()
	c, err := firstDomain()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Propose(patience(t), act("bootstrap"), c); err != nil {
		t.Fatal(err)
	}
}

// register proposes agent n.
func register(t testing.TB, r *replica.Replica, n int) state.Applied {
	t.Helper()
	applied, err := r.Propose(patience(t), act(request(n)), agent(n))
	if err != nil {
		t.Fatalf("agent %d: %v", n, err)
	}
	return applied
}

// has reports whether r's state has agent n.
func has(r *replica.Replica, n int) bool {
	_, ok := r.View().Agent(agentID(n))
	return ok
}

// failure waits for the error for which the process would end.
func failure(t testing.TB, r *replica.Replica) error {
	t.Helper()
	select {
	case err := <-r.Failed():
		return err
	case <-patience(t).Done():
		t.Fatal("nothing failed")
		return nil
	}
}

// copyDir is what a killed process leaves: its files as they are now.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	return to
}

// memoryStore is a log that does not outlive the test.
type memoryStore struct{ *raft.InmemStore }

func (memoryStore) Close() error { return nil }

func openMemory(string) (replica.Store, error) { return memoryStore{raft.NewInmemStore()}, nil }

func snapshotsIn(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantCode(t testing.TB, err error, code broker.Code) {
	t.Helper()
	var refusal *broker.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}
