package story

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// spawn runs a node of the binary that ships, and returns once it serves.
func spawn(t *testing.T, name, dir string, more ...string) (*world.Process, *world.Admin) {
	t.Helper()
	p := world.Spawn(t, nil, world.Binary(t, "cmd/concord"), world.Args(name, dir, more...)...)
	p.Up()
	return p, world.OperatorAt(t, filepath.Join(dir, "admin.sock"))
}

// DESIGN §2.6, TB-4: what was acknowledged is there, whenever the power goes.
func TestTB_4_APowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(world.Dir(t), "d")
	acknowledged := map[string]string{} // SPIFFE ID → entry
	var root string
	var sequence uint64
	for cut := range 3 {
		node, admin := spawn(t, "acme.example", dir)
		if cut == 0 {
			root = admin.Authority("x509", "active").ID
		}
		held := admin.Entries()
		for id, entry := range acknowledged {
			if held[id].ID != entry {
				t.Errorf("cut %d: %s was acknowledged and is now %q", cut, id, held[id].ID)
			}
		}
		if got := admin.Authority("x509", "active").ID; got != root {
			t.Errorf("cut %d: the root is %s, it was %s", cut, got, root)
		}
		if got := admin.Bundle(acmeDomain).Sequence; got < sequence {
			t.Errorf("cut %d: the bundle's sequence went from %d to %d", cut, sequence, got)
		}
		// A change that ends before the cut, so that the next one is compared.
		admin.Turn("jwt")
		sequence = admin.Bundle(acmeDomain).Sequence

		var mu sync.Mutex
		var done atomic.Int64
		enough := make(chan struct{})
		var writing sync.WaitGroup
		for writer := range 4 {
			writing.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("spiffe://acme.example/%d/%d/%d", cut, writer, i)
					var made client.Outcome[client.Entry]
					if admin.Try(http.MethodPost, client.Path("entries"), nil, client.Entry{SPIFFEID: id, Selectors: []string{"unix:uid:7"}}, &made) != nil {
						return
					}
					mu.Lock()
					acknowledged[id] = made.After.ID
					mu.Unlock()
					if done.Add(1) == 60 {
						close(enough)
					}
				}
			})
		}
		<-enough
		node.Kill()
		writing.Wait()
	}
	node, admin := spawn(t, "acme.example", dir)
	held := admin.Entries()
	for id := range acknowledged {
		if _, ok := held[id]; !ok {
			t.Errorf("at the end %s is missing", id)
		}
	}
	node.Signal(syscall.SIGTERM)
	if code := node.Exit(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	if verified := auditOf(t, dir); !strings.Contains(verified, "records") {
		t.Errorf("the audit trail: %s", verified)
	}
}

// auditOf starts a node on dir and has it verify its audit trail.
func auditOf(t *testing.T, dir string) string {
	t.Helper()
	spawn(t, "acme.example", dir)
	stdout, stderr, code := world.Concord(t, "audit", "verify", "--socket", filepath.Join(dir, "admin.sock"))
	if code != 0 {
		t.Errorf("concord audit verify: exit code %d: %s", code, stderr)
	}
	return stdout
}

func TestAWorkloadGoesOnAfterItsNodeWasKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(world.Dir(t), "d")
	node, admin := spawn(t, "acme.example", dir)
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/billing"})
	source, err := workloadapi.NewX509Source(world.Soon(t), workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+filepath.Join(dir, "workload.sock"))))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	before, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	root := signedBy(t, before, source)
	node.Kill()
	// Without a control plane it keeps what it has.
	if got, err := source.GetX509SVID(); err != nil || got.ID != before.ID {
		t.Errorf("while the node is down: %v, %v", got, err)
	}
	spawn(t, "acme.example", dir)
	world.Until(t, source.Updated(), func() bool {
		now, err := source.GetX509SVID()
		return err == nil && !now.Certificates[0].Equal(before.Certificates[0]) && signedBy(t, now, source) == root
	})
}

func TestASecondProcessOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(world.Dir(t), "d")
	_, admin := spawn(t, "acme.example", dir)
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/billing"})
	before := tree(t, dir)
	there := world.AddressesIn(t, dir)
	for name, more := range map[string][]string{
		"on other ports":      nil,
		"on the same ports":   {"--listen-api", there.API, "--listen-bundle", there.Bundle, "--listen-raft", there.Raft, "--listen-ops", there.Ops},
		"of another domain":   {"--trust-domain", "bank.example"},
		"with keys in memory": {"--key-manager", "memory"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := world.Concord(t, world.Args("acme.example", dir, more...)...)
			if code != 1 || !strings.Contains(stderr, "another process is using the data directory "+dir) || !strings.Contains(stderr, "--data-dir") {
				t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
		})
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the refused ones left something behind:\n%s\nbefore:\n%s", after, before)
	}
	if got := admin.Entries(); len(got) != 1 {
		t.Errorf("the first one has %d entries", len(got))
	}
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/more"})
}

// tree is every file below dir with its mode.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(&out, strings.TrimPrefix(path, dir), info.Mode())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestANodeOfAnotherTrustDomainIsRefused(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	root := n.Admin().Authority("x509", "active").ID
	n.Stop()
	n.Config.TrustDomain = "bank.example"
	err := n.TryStart()
	if err == nil || !strings.Contains(err.Error(), "bank.example") || !strings.Contains(err.Error(), "acme.example") || !strings.Contains(err.Error(), n.Config.DataDir) {
		t.Fatalf("got %v", err)
	}
	n.Config.TrustDomain = ""
	n.Start()
	if got := n.Admin(); got.Status().TrustDomain != "acme.example" || got.Authority("x509", "active").ID != root {
		t.Error("without a name it is another domain")
	}
}

// A domain whose keys are sealed is not one whose keys are lost.
func TestSealedKeysAreNotReplacedByKeysInMemory(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	before := n.Admin().Authorities()
	n.Stop()
	n.Config.KeyManager = "memory"
	if err := n.TryStart(); err == nil || !strings.Contains(err.Error(), "key-manager: sealed") {
		t.Fatalf("got %v", err)
	}
	n.Config.KeyManager = "sealed"
	n.Start()
	if after := n.Admin().Authorities(); len(after) != len(before) || after[0].ID != before[0].ID || after[0].Status != before[0].Status {
		t.Errorf("the authorities were %+v and are %+v", before, after)
	}
}

func TestID_19_ANodeThatIsToldNothingNamesItsDomainAtRandom(t *testing.T) {
	t.Parallel()
	work := world.Dir(t)
	first, _ := spawn(t, "", filepath.Join(work, "a"))
	second, admin := spawn(t, "", filepath.Join(work, "b"))
	name := admin.Status().TrustDomain
	if len(name) != 36 || strings.Contains(first.Stdout.String(), name) || !strings.Contains(second.Stdout.String(), name) {
		t.Errorf("it is called %q and says:\n%s", name, second.Stdout)
	}
	second.Signal(syscall.SIGTERM)
	second.Exit()
	_, admin = spawn(t, "", filepath.Join(work, "b"))
	if again := admin.Status().TrustDomain; again != name {
		t.Errorf("after a restart it is called %q", again)
	}
}

// The keys of key-manager: memory end with their process. The domain goes on:
// with new keys, once these were published long enough.
func TestFD_3_KeysInMemoryAreReplacedAfterARestart(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", func(c *nodeConfig) { c.KeyManager = "memory" })
	admin := n.Admin()
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	before, err := n.X509Source().GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	old := admin.Authority("x509", "active").ID
	n.Stop()
	n.Start()
	// Published, and inside the publication window: nobody signs by it yet.
	world.Eventually(t, "new authorities are published", func() bool {
		prepared := 0
		for _, a := range admin.Authorities() {
			if a.Status == "prepared" && a.PreparedAt.After(before.Certificates[0].NotBefore) && a.ID != old {
				prepared++
			}
		}
		return prepared == 2
	})
	ready, reasons := readiness(t, n)
	if ready || !strings.Contains(strings.Join(reasons, " "), "key") {
		t.Errorf("ready: %v, because %q", ready, reasons)
	}
	own, err := spiffebundle.Parse(n.TrustDomain, admin.Bundle(n.TrustDomain).Document)
	if err != nil || !has(own, old) {
		t.Errorf("what the lost key vouched for is not believed any more: %v", err)
	}

	n.Stop()
	n.Config.PublicationWindow = 0
	n.Start()
	next := n.X509Source()
	after, err := next.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, after, next); got == old {
		t.Error("the lost key signed")
	}
	// An SVID from before is still verified.
	if got := signedBy(t, before, next); got != old {
		t.Errorf("the SVID from before is of %s", got)
	}
}
