package story

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// try runs a node of the binary until it serves or ends, and returns whether it serves.
func try(t *testing.T, dir string) (p *world.Process, serves bool) {
	t.Helper()
	p = world.Spawn(t, nil, world.Binary(t, "cmd/concord"), world.Args("acme.example", dir)...)
	return p, p.Serves()
}

// RELIABILITY §2: a full disk stops the node with a clear message and loses
// nothing that was acknowledged.
func TestAFullDiskStopsTheNodeAndLosesNothing(t *testing.T) {
	t.Parallel()
	world.Binary(t, "cmd/concord")
	if !world.Apart(t, syscall.CLONE_NEWNS) {
		return
	}
	disk := world.SmallDisk(t, "24m")
	dir := filepath.Join(disk, "d")
	node, admin := spawn(t, "acme.example", dir)
	root := admin.Authority("x509", "active").ID
	free := world.Fill(t, disk, 128<<10)

	acknowledged := map[string]string{}
	for i := 0; ; i++ {
		id := fmt.Sprintf("spiffe://acme.example/%d", i)
		var made client.Outcome[client.Entry]
		err := admin.Try(http.MethodPost, client.Path("entries"), nil, client.Entry{SPIFFEID: id, Selectors: []string{"unix:uid:7"}}, &made)
		if err != nil {
			break
		}
		acknowledged[id] = made.After.ID
		if i > 10_000 {
			t.Fatal("the disk never filled")
		}
	}
	if code, said := node.Exit(), node.Stderr.String(); code != 1 || !strings.Contains(said, "no space left on device") || !strings.Contains(lastLine(said), dir) {
		t.Errorf("exit code %d; the last line is %s", code, lastLine(said))
	}
	// As long as there is no space, it says so and stays down.
	if again, serves := try(t, dir); serves {
		t.Log("it starts on a full disk, and reads")
		again.Kill()
	} else if again.Exit() != 1 || !strings.Contains(again.Stderr.String(), "no space left on device") {
		t.Errorf("on the full disk: exit code %d, %s", again.Exit(), lastLine(again.Stderr.String()))
	}

	free()
	_, admin = spawn(t, "acme.example", dir)
	held := admin.Entries()
	for id, entry := range acknowledged {
		if held[id].ID != entry {
			t.Errorf("%s was acknowledged and is now %q", id, held[id].ID)
		}
	}
	if got := admin.Authority("x509", "active").ID; got != root {
		t.Errorf("the root is %s, it was %s", got, root)
	}
	if _, stderr, code := world.Concord(t, "audit", "verify", "--socket", filepath.Join(dir, "admin.sock")); code != 0 {
		t.Errorf("concord audit verify: %s", stderr)
	}
	t.Logf("%d writes were acknowledged before the disk was full", len(acknowledged))
}

func TestAFirstStartOnAFullDiskIsMadeUpForLater(t *testing.T) {
	t.Parallel()
	world.Binary(t, "cmd/concord")
	if !world.Apart(t, syscall.CLONE_NEWNS) {
		return
	}
	disk := world.SmallDisk(t, "8m")
	failed := 0
	for left := int64(0); left <= 256<<10; left += 16 << 10 {
		dir := filepath.Join(disk, fmt.Sprint(left))
		free := world.Fill(t, disk, left)
		if p, serves := try(t, dir); serves {
			p.Kill()
		} else {
			failed++
			if said := lastLine(p.Stderr.String()); p.Exit() != 1 || !strings.Contains(said, "no space left on device") {
				t.Errorf("with %d bytes left: exit code %d, %s", left, p.Exit(), said)
			}
		}
		free()
		p, serves := try(t, dir)
		if !serves {
			t.Errorf("with space again, after %d bytes: %s", left, lastLine(p.Stderr.String()))
			continue
		}
		if got := world.OperatorAt(t, filepath.Join(dir, "admin.sock")).Status(); !got.Ready || got.TrustDomain != "acme.example" {
			t.Errorf("after %d bytes: %+v", left, got)
		}
		p.Kill()
	}
	if failed < 3 {
		t.Errorf("only %d starts met a full disk", failed)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
