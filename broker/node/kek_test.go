package node_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca/keys"
)

// alone is a node that is the only one of its cluster, and its data directory.
func alone(t *testing.T) (*node.Node, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := node.Defaults()
	c.TrustDomain, c.NodeName, c.DataDir = "acme.example", "n1", dir
	c.ListenAPI, c.ListenBundle, c.ListenRaft, c.ListenOps = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	n, err := node.Start(t.Context(), node.Options{Config: c, Version: "test", Out: io.Discard, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n, dir
}

// do has the log hold commands.
func do(t *testing.T, n *node.Node, commands ...state.Command) {
	t.Helper()
	for _, c := range commands {
		if err := n.Propose(t.Context(), c); err != nil {
			t.Fatalf("%T: %v", c, err)
		}
	}
}

func TestAKEKIsGivenToMembersOnly(t *testing.T) {
	n, dir := alone(t)
	ask := func(from replica.Peer, call string, body any) ([]byte, broker.Code) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := n.Answer(t.Context(), from, call, text)
		if err != nil && broker.CodeOf(err) == "" {
			t.Fatal(err)
		}
		return answer, broker.CodeOf(err)
	}
	now := func() (kek []byte) {
		t.Helper()
		kek, err := os.ReadFile(filepath.Join(dir, "private", "kek"))
		if err != nil {
			t.Fatal(err)
		}
		return kek
	}
	asking := func(id string) any { return map[string]string{"id": id} }
	me := replica.Peer{ID: n.ID()}
	if _, code := ask(me, node.GiveKEKCall, asking(keys.KEKID(now()))); code != broker.Unavailable {
		t.Errorf("one that the state does not name is given: %s", code)
	}
	// A member comes and goes, so that another key-encryption key takes its place.
	gone := strings.Repeat("ab", 32)
	do(t, n,
		state.PutJoinToken{Token: state.JoinToken{ID: strings.Repeat("cd", 32), Name: "n2", ExpiresAt: time.Now().Add(time.Hour)}},
		state.AdmitMember{Token: strings.Repeat("cd", 32), Member: state.Member{ID: gone, Name: "n2", Address: "127.0.0.1:1", Version: "test", Commands: state.NewestCommand}},
		state.RemoveMember{ID: gone})
	sealing := awaitSealing(t, n, func() string { return keys.KEKID(now()) })
	for name, test := range map[string]struct {
		from replica.Peer
		id   string
		want broker.Code
	}{
		"a member":                    {me, sealing.KEK, ""},
		"a member, another one":       {me, strings.Repeat("0", 16), broker.Unavailable},
		"a stranger":                  {replica.Peer{ID: raft.ServerID(strings.Repeat("ef", 32))}, sealing.KEK, broker.PermissionDenied},
		"a removed member":            {replica.Peer{ID: raft.ServerID(gone)}, sealing.KEK, broker.PermissionDenied},
		"who joins":                   {replica.Peer{ID: n.ID(), Token: "t"}, sealing.KEK, broker.PermissionDenied},
		"a member that does not name": {me, "", broker.Unavailable},
	} {
		answer, code := ask(test.from, node.GiveKEKCall, asking(test.id))
		if code != test.want {
			t.Errorf("%s is answered %q, want %q", name, code, test.want)
		}
		var given struct {
			KEK []byte `json:"kek"`
		}
		if err := json.Unmarshal(answer, &given); code == "" && (err != nil || !bytes.Equal(given.KEK, now()) || keys.KEKID(given.KEK) != sealing.KEK) {
			t.Errorf("%s is given another one: %v", name, err)
		}
	}
	keep := map[string]any{"kek": make([]byte, keys.KEKBytes), "after": 1 << 20}
	if _, code := ask(replica.Peer{ID: raft.ServerID(gone)}, node.KeepKEKCall, keep); code != broker.PermissionDenied {
		t.Errorf("one that a removed member brings is kept: %q", code)
	}
	if _, code := ask(me, node.KeepKEKCall, map[string]any{"kek": []byte("short")}); code != broker.InvalidArgument {
		t.Errorf("what is no key-encryption key is kept: %q", code)
	}
}

// awaitSealing waits until a key-encryption key has taken another's place, in the
// state and on the disk.
func awaitSealing(t *testing.T, n *node.Node, onDisk func() string) state.Sealing {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		if s, _ := n.View().Sealing(); s.KEK != "" && s.KEK == onDisk() {
			return s
		}
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatal("nothing was sealed anew")
		}
	}
}

func TestAKEKWaitsUntilItCannotTakeThePlaceAnyMore(t *testing.T) {
	dir := t.TempDir()
	open := func() node.KEKStore {
		t.Helper()
		k, err := node.OpenKEKStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	k := open()
	first := k.Seals()
	successor := func(after, removed uint64) string {
		t.Helper()
		id, err := k.Successor(after, removed)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	keep := func(after uint64) string {
		t.Helper()
		kek, err := keys.NewKEK()
		if err == nil {
			err = k.Keep(after, 0, kek)
		}
		if err != nil {
			t.Fatal(err)
		}
		return keys.KEKID(kek)
	}
	mine := successor(0, 0)
	if successor(0, 0) != mine || successor(0, 1) == mine {
		t.Error("an attempt that is made again has another key-encryption key, or one after a removal the same")
	}
	other, later := keep(0), keep(20)
	k = open()
	if want := []string{mine, successor(0, 1), other, later}; k.Seals() != first || !same(k.Others(), want) {
		t.Errorf("after a restart %s seals, and there are %q, want %q", k.Seals(), k.Others(), want)
	}
	if changed, err := k.Use(other, 20); !changed || err != nil {
		t.Fatalf("%v, %v", changed, err)
	}
	if k.Seals() != other || !same(k.Others(), []string{later}) {
		t.Errorf("%s seals, and there are %q", k.Seals(), k.Others())
	}
	if changed, err := k.Use(other, 20); changed || err != nil {
		t.Errorf("the same again: %v, %v", changed, err)
	}
	if k = open(); k.Seals() != other || !same(k.Others(), []string{later}) {
		t.Errorf("after a restart %s seals, and there are %q", k.Seals(), k.Others())
	}
	for range 62 {
		keep(30)
	}
	kek := make([]byte, keys.KEKBytes)
	if k.Keep(30, 0, kek) != nil || broker.CodeOf(k.Keep(31, 0, kek)) != broker.ResourceExhausted {
		t.Error("as many wait as anybody likes")
	}
}

func same(have, want []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want)))
}

// A member that is about to be removed must not choose the key that comes then.
func TestAKEKIsKeptForWhatTheStateSaysOnly(t *testing.T) {
	n, _ := alone(t)
	peer := strings.Repeat("ab", 32)
	do(t, n,
		state.PutJoinToken{Token: state.JoinToken{ID: strings.Repeat("cd", 32), Name: "n2", ExpiresAt: time.Now().Add(time.Hour)}},
		state.AdmitMember{Token: strings.Repeat("cd", 32), Member: state.Member{ID: peer, Name: "n2", Address: "127.0.0.1:1", Version: "test", Commands: state.NewestCommand}})
	for name, numbers := range map[string][2]uint64{"now": {0, 0}, "after its removal": {0, 1}, "for ever": {1 << 63, 0}} {
		body, err := json.Marshal(map[string]any{"kek": bytes.Repeat([]byte{7}, keys.KEKBytes), "after": numbers[0], "removed": numbers[1]})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Answer(t.Context(), replica.Peer{ID: raft.ServerID(peer)}, node.KeepKEKCall, body); err == nil {
			t.Errorf("%s: a member that does not lead had a key kept", name)
		}
	}
}
