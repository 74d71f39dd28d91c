package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// kekOf is the key-encryption key that n has on its disk.
func kekOf(t *testing.T, n *world.Node) []byte {
	t.Helper()
	kek, err := os.ReadFile(n.Path("private", "kek"))
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

// nowhere wants none of keks to be anywhere in the data of nodes, nor in their
// logs; but for where it says.
func nowhere(t *testing.T, nodes []*world.Node, keks ...[]byte) {
	t.Helper()
	for _, n := range nodes {
		err := filepath.WalkDir(n.Config.DataDir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || path == n.Path("private", "kek") {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil {
				findKEKs(t, path, text, keks)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		findKEKs(t, "the log of "+n.Config.NodeName, []byte(n.Log.String()), keks)
		findKEKs(t, "what "+n.Config.NodeName+" says at the start", []byte(n.Out.String()), keks)
	}
}

func findKEKs(t *testing.T, where string, text []byte, keks [][]byte) {
	t.Helper()
	for _, kek := range keks {
		for form, shown := range map[string][]byte{
			"as it is": kek, "in hex": []byte(hex.EncodeToString(kek)), "in base64": []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(kek), "=")),
		} {
			if bytes.Contains(text, shown) {
				t.Errorf("%s has a key-encryption key, %s", where, form)
			}
		}
	}
}

// rekey asks a node for another key-encryption key.
func rekey(t *testing.T, n *world.Node) client.Rekeyed {
	t.Helper()
	var out client.Outcome[client.Rekeyed]
	if err := n.Admin().Try(http.MethodPost, client.Path("cluster", "rekey"), nil, nil, &out); err != nil {
		t.Fatal(err)
	}
	return *out.After
}

func TestAnotherKEKTakesThePlaceOnEveryMember(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	members[0].Admin().Register(client.Entry{SPIFFEID: members[0].ID("/web").String()})
	first := kekOf(t, members[0])
	bundle := published(t, members[0])
	after := rekey(t, members[1])
	for _, m := range after.Members {
		if !m.Has {
			t.Errorf("%s does not have it: %s", m.Name, m.Why)
		}
	}
	second := kekOf(t, members[0])
	if bytes.Equal(first, second) {
		t.Fatal("it is the same key-encryption key")
	}
	for _, n := range members {
		if !bytes.Equal(kekOf(t, n), second) {
			t.Errorf("%s has another key-encryption key", n.Config.NodeName)
		}
		if left, _ := filepath.Glob(n.Path("private", "kek?*")); len(left) > 0 {
			t.Errorf("%s keeps %v", n.Config.NodeName, left)
		}
		if info, err := os.Stat(n.Path("private", "kek")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s keeps it with %v, %v", n.Config.NodeName, info.Mode(), err)
		}
		if !published(t, n).Equal(bundle) {
			t.Errorf("the bundle of %s is another one", n.Config.NodeName)
		}
	}
	// Whoever leads prepares the next authority with it, and every member can open that.
	for _, n := range members {
		if err := n.Admin().Try(http.MethodPost, client.Path("cluster", "transfer"), map[string][]string{"to": {n.Config.NodeName}}, nil, nil); err != nil {
			t.Fatal(err)
		}
		world.Eventually(t, n.Config.NodeName+" leads, and the next authorities are prepared", func() bool {
			prepared := 0
			for _, a := range n.Admin().Authorities() {
				if a.Status == "prepared" {
					prepared++
				}
			}
			return prepared == 2 && n.Admin().Status().Leading
		})
		n.Admin().Turn("x509")
		n.Admin().Turn("jwt")
	}
	for _, n := range members {
		n.Stop()
		n.Start()
		issues(t, n, published(t, n))
	}
	nowhere(t, members, first, second)
}

func TestAMemberThatWasAwayFetchesTheKEK(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	members[0].Admin().Register(client.Entry{SPIFFEID: members[0].ID("/web").String()})
	first := kekOf(t, members[2])
	members[2].Stop()
	for range 2 {
		after := rekey(t, members[0])
		for _, m := range after.Members {
			if m.Has != (m.Name != "n3") || !m.Has && !strings.Contains(m.Why, "does not answer") {
				t.Errorf("%+v", m)
			}
		}
	}
	members[2].Start()
	if !bytes.Equal(kekOf(t, members[2]), kekOf(t, members[0])) {
		t.Error("the member that was away has another key-encryption key")
	}
	issues(t, members[2], published(t, members[2]))
	nowhere(t, members, first, kekOf(t, members[0]))
}

func TestARekeyGoesOnUnderAnotherLeader(t *testing.T) {
	t.Parallel()
	members := world.StartCluster(t, "acme.example", 3, laboratory)
	first := kekOf(t, members[0])
	var leader int
	for i, n := range members {
		if n.Admin().Status().Leading {
			leader = i
		}
	}
	other := members[(leader+1)%3]
	answered := make(chan error, 1)
	go func() {
		answered <- other.Admin().Try(http.MethodPost, client.Path("cluster", "rekey"), nil, nil, nil)
	}()
	members[leader].Stop()
	err := <-answered
	if err != nil && !strings.Contains(err.Error(), "unavailable") && !strings.Contains(err.Error(), "leader") {
		t.Errorf("it answered %v", err)
	}
	if err != nil { // it was not even recorded
		rekey(t, other)
	}
	world.Eventually(t, "nothing waits", func() bool { return !other.Admin().Cluster().Keys.Pending })
	members[leader].Start()
	for _, n := range members {
		if kek := kekOf(t, n); bytes.Equal(kek, first) || !bytes.Equal(kek, kekOf(t, other)) {
			t.Errorf("%s has another key-encryption key", n.Config.NodeName)
		}
	}
}
