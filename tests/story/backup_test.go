package story

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/world"
)

// kept is what an operator has after the loss of a cluster: a backup, the
// key-encryption key, and the bundle that others hold.
type kept struct {
	dir, backup, kek, published string

	root, jwt string
	sequence  uint64
	bundle    *spiffebundle.Bundle
}

// back takes a backup of a node with an entry and a relationship.
func back(t *testing.T) (*world.Process, *world.Admin, *kept) {
	t.Helper()
	k := &kept{dir: world.Dir(t)}
	data := filepath.Join(k.dir, "lost")
	node, admin := spawn(t, "acme.example", data)
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/billing"})
	peer := world.NewPeer(t, "bank.example", federation.HTTPSSPIFFE)
	admin.Relate(peer.Relationship())
	k.backup = filepath.Join(k.dir, "acme.backup")
	out, stderr, code := world.Concord(t, "cluster", "backup", k.backup, "--socket", filepath.Join(data, "admin.sock"))
	if code != 0 || !strings.Contains(out, "1 entry, 1 relationship") {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	if info := world.Must[os.FileInfo](t)(os.Stat(k.backup)); info.Mode() != 0o600 {
		t.Errorf("the backup has mode %s", info.Mode())
	}
	k.kek = filepath.Join(k.dir, "kek")
	key := world.Must[[]byte](t)(os.ReadFile(filepath.Join(data, "private", "kek")))
	if err := os.WriteFile(k.kek, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(world.Must[[]byte](t)(os.ReadFile(k.backup))), string(key)) {
		t.Error("the key-encryption key is in the backup")
	}
	k.root, k.jwt = admin.Authority("x509", "active").ID, admin.Authority("jwt", "active").ID
	k.publish(t, admin)
	return node, admin, k
}

// publish keeps the bundle as it is now.
func (k *kept) publish(t *testing.T, admin *world.Admin) {
	t.Helper()
	b := admin.Bundle(acmeDomain)
	k.published, k.sequence = filepath.Join(k.dir, fmt.Sprint("published-", b.Sequence)), b.Sequence
	if err := os.WriteFile(k.published, b.Document, 0o600); err != nil {
		t.Fatal(err)
	}
	k.bundle = world.Must[*spiffebundle.Bundle](t)(spiffebundle.Parse(acmeDomain, b.Document))
}

// restore restores the backup with what an operator has, into a new directory.
func (k *kept) restore(t *testing.T, name string, more ...string) string {
	t.Helper()
	data := filepath.Join(k.dir, name)
	args := append([]string{"cluster", "restore", k.backup, "--data-dir", data, "--kek", k.kek, "--published", k.published}, more...)
	if _, stderr, code := world.Concord(t, args...); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return data
}

// svids are those that a workload of a node gets; they must be good for whoever
// has the bundle from before.
func (k *kept) svids(t *testing.T, data string) {
	t.Helper()
	addr := workloadapi.WithAddr("unix://" + filepath.Join(data, "workload.sock"))
	svid := world.Must[*x509svid.SVID](t)(workloadapi.FetchX509SVID(world.Soon(t), addr))
	if _, _, err := x509svid.Verify(svid.Certificates, k.bundle); err != nil {
		t.Errorf("who has the bundle from before does not believe the X.509-SVID: %v", err)
	}
	token := world.Must[*jwtsvid.SVID](t)(workloadapi.FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "db"}, addr))
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), k.bundle, []string{"db"}); err != nil {
		t.Errorf("who has the bundle from before does not believe the JWT-SVID: %v", err)
	}
}

// Issue "A cluster that nobody notices failing": restore.
func TestTB_4_ALostClusterGoesOnFromItsBackup(t *testing.T) {
	t.Parallel()
	node, admin, k := back(t)
	// What comes after the backup: an entry, and keys that turn.
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/later"})
	later := []string{admin.Turn("x509").ID, admin.Turn("jwt").ID}
	world.Eventually(t, "the next keys are published", func() bool {
		return len(admin.Authorities()) == 6
	})
	k.publish(t, admin)
	cluster := admin.Status().ClusterID
	node.Kill()
	if err := os.RemoveAll(filepath.Join(k.dir, "lost")); err != nil {
		t.Fatal(err)
	}

	data := k.restore(t, "d")
	restored, admin := spawn(t, "acme.example", data)
	if got := admin.Status(); got.ClusterID != cluster || !got.Ready {
		t.Errorf("the cluster is %s, it was %s: %+v", got.ClusterID, cluster, got)
	}
	if x509, jwt := admin.Authority("x509", "active").ID, admin.Authority("jwt", "active").ID; x509 != k.root || jwt != k.jwt {
		t.Errorf("%s and %s sign, in the backup %s and %s did", x509, jwt, k.root, k.jwt)
	}
	if entries := admin.Entries(); len(entries) != 1 || entries["spiffe://acme.example/billing"].ID == "" {
		t.Errorf("the entries are %+v", entries)
	}
	if got := admin.Relationship(spiffeid.RequireTrustDomainFromString("bank.example")); got.TrustDomain != "bank.example" {
		t.Errorf("the relationship is %+v", got)
	}
	own := admin.Bundle(acmeDomain)
	now := world.Must[*spiffebundle.Bundle](t)(spiffebundle.Parse(acmeDomain, own.Document))
	switch {
	case own.Sequence < k.sequence:
		t.Errorf("the bundle's sequence went from %d to %d", k.sequence, own.Sequence)
	case own.Sequence == k.sequence && !now.Equal(k.bundle):
		t.Errorf("under sequence %d it says something else", own.Sequence)
	}
	for _, root := range k.bundle.X509Authorities() {
		if !now.HasX509Authority(root) {
			t.Errorf("%x is not trusted any more", root.SubjectKeyId)
		}
	}
	for id := range k.bundle.JWTAuthorities() {
		if _, ok := now.FindJWTAuthority(id); !ok {
			t.Errorf("JWT key %s is not trusted any more", id)
		}
	}
	if len(later) != 2 || len(now.JWTAuthorities()) < 3 {
		t.Errorf("%d JWT keys are trusted", len(now.JWTAuthorities()))
	}
	k.svids(t, data)

	// The trail goes on, and a second node joins.
	out, stderr, code := world.Concord(t, "audit", "verify", "--socket", filepath.Join(data, "admin.sock"))
	if code != 0 {
		t.Errorf("audit verify: exit code %d: %s%s", code, out, stderr)
	}
	token := admin.JoinToken("n2").Token
	second := filepath.Join(k.dir, "e")
	args := append([]string{"node", "join", token}, world.Args("acme.example", second, "--node-name", "n2")[2:]...)
	joined := world.Spawn(t, nil, world.Binary(t, "cmd/concord"), args...)
	joined.Up()
	world.Eventually(t, "both vote", func() bool { return admin.Voters() == 2 })
	k.svids(t, second)

	// And it all is there after another start.
	restored.Signal(syscall.SIGTERM)
	restored.Exit()
	_, admin = spawn(t, "acme.example", data)
	world.Eventually(t, "both vote again", func() bool { return admin.Voters() == 2 })
	if got := admin.Bundle(acmeDomain).Sequence; got < own.Sequence {
		t.Errorf("the bundle's sequence went from %d to %d", own.Sequence, got)
	}
	if _, stderr, code := world.Concord(t, "audit", "verify", "--socket", filepath.Join(data, "admin.sock")); code != 0 {
		t.Errorf("audit verify after another start: exit code %d: %s", code, stderr)
	}
}

// RELIABILITY §1 rows 10 and 19.
func TestARestoreThatWouldHarmIsRefused(t *testing.T) {
	t.Parallel()
	node, admin, k := back(t)
	whole := world.Must[[]byte](t)(os.ReadFile(k.backup))
	file := func(name string, content []byte) string {
		path := filepath.Join(k.dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 4
	wrong := make([]byte, 32)
	rand.Read(wrong)
	none := filepath.Join(k.dir, "none")
	full := filepath.Join(k.dir, "lost")
	good := map[string]string{"file": k.backup, "--data-dir": none, "--kek": k.kek, "--published": k.published}

	// All keys turn, and the old ones leave.
	for _, use := range []string{"x509", "jwt"} {
		for range 2 {
			before := admin.Authority(use, "active").ID
			admin.Turn(use)
			world.Eventually(t, "the next one is published", func() bool {
				return slices.ContainsFunc(admin.Authorities(), func(a client.Authority) bool { return a.Use == use && a.Status == "prepared" })
			})
			admin.Revoke(use, before)
		}
	}
	k.publish(t, admin)
	node.Kill()

	for name, c := range map[string]struct {
		change map[string]string
		says   string
	}{
		"cut off":                  {map[string]string{"file": file("cut", whole[:len(whole)-100])}, "it was cut off, or changed"},
		"a bit flipped":            {map[string]string{"file": file("flipped", flipped)}, "it was cut off, or changed"},
		"something else":           {map[string]string{"file": k.kek}, "this is not a backup of Concord"},
		"of a later format":        {map[string]string{"file": file("later", append([]byte("concord backup 9\n"), whole[17:]...))}, "its format is"},
		"into a node's data":       {map[string]string{"--data-dir": full}, "is not empty"},
		"without the key":          {map[string]string{"--kek": ""}, "which is not in a backup"},
		"with a wrong key":         {map[string]string{"--kek": file("wrong", wrong)}, "sealed with another key-encryption key"},
		"nobody knows what is out": {map[string]string{"--published": ""}, "--published FILE"},
		"after all keys turned":    {map[string]string{"--published": k.published}, "is not in the published bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"cluster", "restore"}
			for flag, value := range good {
				if changed, ok := c.change[flag]; ok {
					value = changed
				}
				switch {
				case flag == "file":
					args = append(args, value)
				case value != "":
					args = append(args, flag, value)
				}
			}
			if out, stderr, code := world.Concord(t, args...); code != 1 || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d: %s%s, want %q", code, out, stderr, c.says)
			}
			if _, err := os.Stat(none); !os.IsNotExist(err) {
				t.Errorf("it left something behind: %v", err)
			}
		})
	}

	// New trust is a way on: what is published stays so.
	k.restore(t, "dry", "--new-trust", "--dry-run")
	if _, err := os.Stat(filepath.Join(k.dir, "dry")); !os.IsNotExist(err) {
		t.Errorf("a dry run left something behind: %v", err)
	}
	data := k.restore(t, "d", "--new-trust")
	_, admin = spawn(t, "acme.example", data)
	own := admin.Bundle(acmeDomain)
	now := world.Must[*spiffebundle.Bundle](t)(spiffebundle.Parse(acmeDomain, own.Document))
	for _, root := range k.bundle.X509Authorities() {
		if !now.HasX509Authority(root) {
			t.Errorf("%x is not trusted any more", root.SubjectKeyId)
		}
	}
	if own.Sequence <= k.sequence {
		t.Errorf("the sequence went from %d to %d", k.sequence, own.Sequence)
	}
	k.bundle = now
	k.svids(t, data)
}
