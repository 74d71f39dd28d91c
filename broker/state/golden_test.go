package state_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// writeGolden makes a new golden log from this version's commands. A log that
// is there is never written again.
var writeGolden = flag.String("write-golden", "", "name of a new golden log in testdata/log")

// goldenHistory has every kind of command, done and refused.
func goldenHistory(t *testing.T) *world {
	w := newWorld(t)
	w.now = epoch
	step := func(request string, c state.Command) {
		w.later(17 * time.Second)
		w.applyAs(w.as(request), c)
	}
	step("", state.DeleteEntry{ID: "too-early"})
	step("r0", bootstrap())
	step("r0", bootstrap())
	for i, c := range samples() {
		step(fmt.Sprint("sample-", i), c)
	}
	one, two := bundle(bank, 3, []int{10}, []int{11}), bundle(bank, 4, []int{10, 12}, []int{11})
	for i, c := range []state.Command{
		state.PutEntry{Entry: entry("web", "/web", "unix:uid:1000")},
		state.PutEntry{Entry: entry("db", "/db", "unix:uid:1001", "unix:path:/usr/bin/db")},
		state.PutEntry{Entry: entry("web-again", "/web", "unix:uid:1000")},
		state.PutRelationship{Relationship: relationship(bank)},
		fetched(one, nil), fetched(two, one), fetched(two, one),
		operator(bundle(shop, 1, []int{10}, nil)),
		activate(3),
		state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: 25 * time.Hour},
		state.PrepareAuthority{Authority: root(acme, 5, 0)},
		state.ActivateAuthority{Use: ca.JWT, ID: jwtKey(4, 0).ID, Force: true, VouchFor: time.Hour},
		state.TaintAuthority{Use: ca.X509, ID: rootID(1)},
		state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true},
		state.DeleteBundle{TrustDomain: bank, Mode: state.Dissociate},
		state.DeleteEntry{ID: "db"},
		state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/concord/n2"), Method: "concord:node", AttestedAt: epoch}},
	} {
		step(fmt.Sprint("story-", i), c)
	}
	for i, c := range clusterStory(w.now.Add(time.Hour)) {
		step(fmt.Sprint("cluster-", i), c)
	}
	sealingStory(w, step)
	return w
}

// clusterStory is how members come and go. Node 1 is there, 2 was removed.
func clusterStory(until time.Time) []state.Command {
	late, other := admit(5), admit(4)
	late.Token, other.Token = tokenID(9), tokenID(3)
	return []state.Command{
		started(1, 2), started(1, 2), started(2, 9), started(4, 1),
		joinToken(3, until), joinToken(3, until), joinToken(4, until), joinToken(1, until),
		admit(3), admit(3), late, other, admit(2),
		duties(2, 1, 3), duties(2, 1), duties(3, 1, 4),
		state.RemoveMember{ID: nodeID(3)}, state.RemoveMember{ID: nodeID(3), Compromised: true}, state.RemoveMember{ID: nodeID(1)},
		admit(4), duties(4, 1, 4),
		resealed(root(acme, 3, 0), root(acme, 5, 0), jwtKey(2, 0), jwtKey(4, 0)), resealed(initial()...),
	}
}

// sealingStory is how the key-encryption key changes, after node 3 was removed
// and is known to be compromised.
func sealingStory(w *world, step func(string, state.Command)) {
	step("sealing-0", renewed(w.machine.View(), 1))
	step("sealing-1", state.RenewKEK{})
	step("sealing-2", renewed(w.machine.View(), 1)) // of an older view by then
	step("sealing-3", state.PrepareAuthority{Authority: root(acme, 7, 0)})
	for i, n := range []int{2, 2} {
		c := renewed(w.machine.View(), n)
		step(fmt.Sprint("sealing-4-", i), c)
		step(fmt.Sprint("sealing-5-", i), c)
	}
	step("sealing-6", state.RemoveMember{ID: nodeID(3), Compromised: true, Force: true})
	step("sealing-7", state.RemoveMember{ID: nodeID(4), Compromised: true, Force: true})
	step("sealing-8", renewed(w.machine.View(), 3))
	step("sealing-9", state.TaintAuthority{Use: ca.X509, ID: rootID(3)})
}

// TestGoldenLogs reads what older versions wrote: it must give the same state
// as it gave then, for ever.
func TestGoldenLogs(t *testing.T) {
	if *writeGolden != "" {
		newGolden(t, filepath.Join("testdata", "log", *writeGolden+".txt"))
	}
	logs, err := filepath.Glob("testdata/log/*.txt")
	if err != nil || len(logs) == 0 {
		t.Fatalf("there are no golden logs: %v", err)
	}
	for _, path := range logs {
		t.Run(filepath.Base(path), func(t *testing.T) {
			stated, entries := readGolden(t, path)
			w := newWorld(t)
			kinds := make(map[string]bool)
			for _, encoded := range entries {
				act, c, err := state.Decode(encoded)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := state.Encode(act, c); err == nil && !bytes.Equal(again, encoded) {
					t.Errorf("%T is encoded otherwise now", c)
				}
				w.read(encoded)
				kinds[fmt.Sprintf("%T", c)] = true
			}
			if have := fingerprint(w.machine.View()); have != stated {
				t.Errorf("the log gives\n%s, it gave\n%s", have, stated)
			}
			if most := map[string]int{"v1.txt": 15, "v2.txt": 21, "v3.txt": 22}[filepath.Base(path)]; len(kinds) != most {
				t.Errorf("the log has %d kinds of commands, not %d", len(kinds), most)
			}
		})
	}
}

// TestGoldenSnapshots reads what older versions saved.
func TestGoldenSnapshots(t *testing.T) {
	saved, err := filepath.Glob("testdata/snapshot/*.hex")
	if err != nil || len(saved) == 0 {
		t.Fatalf("there are no golden snapshots: %v", err)
	}
	for _, path := range saved {
		name := strings.TrimSuffix(filepath.Base(path), ".hex")
		stated, entries := readGolden(t, filepath.Join("testdata", "log", name+".txt"))
		_, chunks := readGolden(t, path)
		m, bytesThen := state.NewMachine(), slices.Concat(chunks...)
		if err := m.Restore(bytes.NewReader(bytesThen)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !bytes.Equal(snapshot(t, m.View()), bytesThen) {
			t.Errorf("%s: the same state is written otherwise now", path)
		}
		if have := fingerprint(m.View()); have != stated {
			t.Errorf("%s: the snapshot gives\n%s, its log gave\n%s", path, have, stated)
		}
		if m.View().Index() != uint64(len(entries)) {
			t.Errorf("%s: the snapshot is at %d, its log ends at %d", path, m.View().Index(), len(entries))
		}
	}
}

// fingerprint is what must be the same for ever.
func fingerprint(v *state.View) string {
	own := v.Own()
	return fmt.Sprintf("digest %x\naudit %x\nentries %d\nbundle %s\n", v.Digest(), v.AuditHead(), v.EntryCount(), own.ETag)
}

// A golden file has lines of hex, and before them lines that begin with # and
// state the fingerprint.
func readGolden(t *testing.T, path string) (stated string, chunks [][]byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if line, ok := strings.CutPrefix(lines.Text(), "# "); ok {
			stated += line + "\n"
			continue
		}
		chunk, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		chunks = append(chunks, chunk)
	}
	return stated, chunks
}

func newGolden(t *testing.T, path string) {
	t.Helper()
	w := goldenHistory(t)
	var log, saved strings.Builder
	for line := range strings.Lines(fingerprint(w.machine.View())) {
		log.WriteString("# " + line)
	}
	for _, encoded := range w.log {
		fmt.Fprintf(&log, "%x\n", encoded)
	}
	for chunk := range slices.Chunk(snapshot(t, w.machine.View()), 64) {
		fmt.Fprintf(&saved, "%x\n", chunk)
	}
	snapshotPath := strings.Replace(strings.TrimSuffix(path, ".txt")+".hex", "log", "snapshot", 1)
	for path, text := range map[string]string{path: log.String(), snapshotPath: saved.String()} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
