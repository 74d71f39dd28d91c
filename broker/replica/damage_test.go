package replica_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
)

// written is a directory with a log whose newest entries are in no snapshot.
func written(t *testing.T, snapshot bool) (dir string, digest [32]byte) {
	t.Helper()
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport("alone")
		opts := replica.Options{Dir: dir, Transport: transport, ID: "alone"}
		if snapshot {
			opts.SnapshotEntries, opts.TrailingEntries = 8, 2
		}
		r := open(t, opts)
		leads(t, r)
		makeDomain(t, r)
		for n := range 10 {
			register(t, r, n)
		}
		if snapshot {
			time.Sleep(2 * time.Minute)
		}
		register(t, r, 10)
		digest = r.View().Digest()
		closeReplica(t, r)
	})
	return dir, digest
}

// reopened starts a node on dir and returns the error with which it ends, or
// the state to which it came.
func reopened(t *testing.T, dir string) (digest [32]byte, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport("alone")
		var r *replica.Replica
		if r, err = tryOpen(t, replica.Options{Dir: dir, Transport: transport, ID: "alone"}); err != nil {
			return
		}
		defer closeReplica(t, r)
		led := make(chan error, 1)
		go func() { led <- r.WaitLeading(patience(t)) }()
		select {
		case err = <-r.Failed():
			closeReplica(t, r)
			<-led
		case err = <-led:
			digest = r.View().Digest()
		}
	})
	return digest, err
}

// flip turns one bit of a file over.
func flip(t *testing.T, path string, at int, bit uint) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[at] ^= 1 << bit
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFlippedBitInWhatTheLogHoldsIsLoud(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"a command", "node-7"},
		{"the membership", "alone"},
		{"the term", "CurrentTerm"},
		{"the vote", "LastVoteCand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := written(t, false)
			path := filepath.Join(dir, "log.db")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// Pages that are free hold older copies: all of them are hit. Of a
			// vote and a term, what stands behind the name is hit.
			behind := 0
			if strings.HasPrefix(c.text, "Current") || strings.HasPrefix(c.text, "Last") {
				behind = len(c.text)
			}
			hits := 0
			for at := 0; ; hits++ {
				next := bytes.Index(content[at:], []byte(c.text))
				if next < 0 {
					break
				}
				at += next + behind
				flip(t, path, at, 1)
				at++
			}
			if hits == 0 {
				t.Fatalf("%q does not stand in the log", c.text)
			}
			if _, err = reopened(t, dir); !errors.Is(err, replica.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		})
	}
}

// What an entry holds beside its command has no checksum but the entry's.
func TestAChangedEntryIsLoudWhateverChanged(t *testing.T) {
	for name, change := range map[string]func(*raft.Log){
		"its term":               func(l *raft.Log) { l.Term++ },
		"a command that is none": func(l *raft.Log) { l.Type = raft.LogNoop },
		"when it was made":       func(l *raft.Log) { l.AppendedAt = l.AppendedAt.Add(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := raft.NewInmemStore()
				_, transport := raft.NewInmemTransport("alone")
				opts := replica.Options{
					Dir: t.TempDir(), Transport: transport, ID: "alone",
					OpenStore: func(string) (replica.Store, error) { return memoryStore{store}, nil },
				}
				r := open(t, opts)
				leads(t, r)
				makeDomain(t, r)
				index := register(t, r, 1).Index
				closeReplica(t, r)
				var entry raft.Log
				if err := store.GetLog(index, &entry); err != nil {
					t.Fatal(err)
				}
				change(&entry)
				if err := store.StoreLog(&entry); err != nil {
					t.Fatal(err)
				}
				_, opts.Transport = raft.NewInmemTransport("alone")
				r, err := tryOpen(t, opts)
				if err == nil {
					select {
					case err = <-r.Failed():
					case <-time.After(time.Minute):
					}
				}
				if !errors.Is(err, replica.ErrCorrupt) {
					t.Errorf("got %v, want ErrCorrupt", err)
				}
			})
		})
	}
}

// Wherever a bit turns over: the node has the right state, or it says that it
// has none. A damaged page may make bbolt crash, so the nodes are in a process of
// their own.
func TestAFlippedBitAnywhereInTheLogIsNeverBelieved(t *testing.T) {
	dir := t.TempDir()
	r := open(t, replica.Options{Dir: dir})
	leads(t, r)
	makeDomain(t, r)
	for n := range 10 {
		register(t, r, n)
	}
	want := fmt.Sprintf("%x", r.View().Digest())
	closeReplica(t, r)
	content, err := os.ReadFile(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	const flips = 60
	var dirs []string
	for range flips {
		dirs = append(dirs, copyDir(t, dir))
		flip(t, filepath.Join(dirs[len(dirs)-1], "log.db"), random.IntN(len(content)), uint(random.IntN(8)))
	}
	loud := 0
	for next := 0; next < flips; {
		// What the child could not say any more, it crashed at.
		out, err := child(t, "digests", strings.Join(dirs[next:], string(filepath.ListSeparator))).Output()
		said := strings.Fields(strings.ReplaceAll(string(out), " ", "_"))
		for n, digest := range said {
			if strings.HasPrefix(digest, `"`) {
				loud++
			} else if digest != want {
				t.Errorf("%s: the state is another one", dirs[next+n])
			}
		}
		if next += len(said); next < flips {
			if err == nil {
				t.Fatalf("the child ended after %d", next)
			}
			loud, next = loud+1, next+1
		}
	}
	t.Logf("%d of %d were noticed, the others changed nothing", loud, flips)
}

func TestAFlippedBitInASnapshotIsLoud(t *testing.T) {
	dir, want := written(t, true)
	found := snapshotsIn(t, dir)
	if len(found) != 1 {
		t.Fatalf("%d snapshots", len(found))
	}
	name, err := filepath.Rel(dir, found[0])
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(t, copyDir(t, dir)); err != nil || got != want {
		t.Fatalf("undamaged: %v", err)
	}
	size := int(info.Size())
	for at := 0; at < size; at += max(1, size/40) {
		again := copyDir(t, dir)
		flip(t, filepath.Join(again, name), at, 0)
		if _, err := reopened(t, again); !errors.Is(err, replica.ErrSnapshot) {
			t.Errorf("byte %d: got %v, want ErrSnapshot", at, err)
		} else if !strings.Contains(err.Error(), filepath.Base(name)[:20]) {
			t.Errorf("byte %d: %q does not name the snapshot", at, err)
		}
	}
}

func TestASnapshotThatIsCutOffOrGoneIsLoud(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(path string) error
	}{
		{"cut in the middle", func(path string) error { return os.Truncate(path, 300) }},
		{"cut in the first line", func(path string) error { return os.Truncate(path, 10) }},
		{"empty", func(path string) error { return os.Truncate(path, 0) }},
		{"gone", os.Remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := written(t, true)
			if err := c.spoil(snapshotsIn(t, dir)[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := reopened(t, dir); !errors.Is(err, replica.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestAHalfWrittenSnapshotIsClearedAway(t *testing.T) {
	dir, want := written(t, true)
	partial := filepath.Join(dir, "snapshots", fmt.Sprintf("%020d-%020d-1.partial", 99, 9))
	if err := os.WriteFile(partial, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(t, dir); err != nil || got != want {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(partial); err == nil {
		t.Error("it is still there")
	}
}

// A node that began anew would make the domain's keys anew.
func TestALogThatWasLostIsNotBegunAnew(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(path string) error
	}{
		{"deleted", os.Remove},
		{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	} {
		for _, snapshot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with a snapshot: %v", c.name, snapshot), func(t *testing.T) {
				dir, _ := written(t, snapshot)
				if err := c.spoil(filepath.Join(dir, "log.db")); err != nil {
					t.Fatal(err)
				}
				for range 2 { // nor is it the second time
					if _, err := reopened(t, dir); !errors.Is(err, replica.ErrCorrupt) {
						t.Errorf("got %v, want ErrCorrupt", err)
					}
				}
			})
		}
	}
}

// Not even in the part of it that is not used.
func TestAFlippedBitInTheNodesKeyIsLoud(t *testing.T) {
	dir := t.TempDir()
	want, err := replica.EnsureIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "node.key")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range content {
		bit := uint(at % 8)
		flip(t, path, at, bit)
		got, err := replica.EnsureIdentity(dir)
		if err == nil && (got != want || at < len(content)-1) || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d, bit %d: %s, %v", at, bit, got, err)
		}
		flip(t, path, at, bit)
	}
}
