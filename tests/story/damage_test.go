package story

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/tests/world"
)

// damage is a file of a stopped node, and how it is damaged.
type damage struct {
	file  string // below the data directory; a pattern
	spoil func(t *testing.T, path string)
	say   string // besides the file's name
}

func flip(at int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at < 0 {
			at += len(content)
		}
		content[at] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// flipAll turns a bit over in every copy of some text in a file.
func flipAll(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.ReplaceAll(string(content), text, strings.ToUpper(text))
		if changed == string(content) {
			t.Fatalf("%q does not stand in %s", text, path)
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// RELIABILITY §2, invariant 12: corruption is loud.
func TestDamagedDataEndsTheStartAndNamesTheFile(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	n.Stop()
	before, err := os.ReadFile(n.Path("private", "raft", "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	older := func(t *testing.T, path string) {
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.Start()
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	root := n.Admin().Authority("x509", "active").ID
	n.Stop()
	whole := filepath.Join(world.Dir(t), "whole")
	copyTree(t, n.Config.DataDir, whole)
	for name, d := range map[string]damage{
		"the log's entry":              {"private/raft/log.db", flipAll("/billing"), "damaged"},
		"the log is gone":              {"private/raft/log.db", remove, "missing"},
		"the log is empty":             {"private/raft/log.db", truncate(0), ""},
		"the log is half there":        {"private/raft/log.db", truncate(5000), ""},
		"one head of the log":          {"private/raft/log.db", flip(20), "damaged"},
		"the other head of the log":    {"private/raft/log.db", flip(os.Getpagesize() + 20), "damaged"},
		"an older log":                 {"private/raft/log.db", older, "older copy"},
		"the key-encryption key":       {"private/kek", flip(3), "key-encryption key"},
		"the key-encryption key, gone": {"private/kek", remove, "missing"},
		"the key-encryption key, cut":  {"private/kek", truncate(31), "32"},
		"the key-encryption key, read": {"private/kek", chmod(0o644), "0600"},
		"the node's key":               {"private/raft/node.key", flip(40), ""},
		"the node's key is gone":       {"private/raft/node.key", remove, ""},
		"the audit trail":              {"private/audit/*", flipAll("acme"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			broken := *n
			broken.Config.DataDir = filepath.Join(world.Dir(t), "d")
			copyTree(t, whole, broken.Config.DataDir)
			paths, err := filepath.Glob(filepath.Join(broken.Config.DataDir, d.file))
			if err != nil || len(paths) != 1 {
				t.Fatalf("%s is %q, %v", d.file, paths, err)
			}
			d.spoil(t, paths[0])
			err = broken.TryStart()
			if err == nil {
				t.Errorf("it started; %s", broken.Admin().Status().Digest)
				broken.Stop()
				return
			}
			if !strings.Contains(err.Error(), filepath.Dir(paths[0])) || !strings.Contains(err.Error(), d.say) {
				t.Errorf("%q does not name %s and say %q", err, paths[0], d.say)
			}
			// A second try says the same: the first one repaired nothing into silence.
			if again := broken.TryStart(); again == nil {
				t.Error("the second time it started")
				broken.Stop()
			}
		})
	}
	n.Start()
	if got := n.Admin(); got.Authority("x509", "active").ID != root || len(got.Entries()) != 1 {
		t.Error("the undamaged copy is not what it was")
	}
}

// snapshotted makes the newest state of a stopped node a snapshot, of which the
// log then has nothing more.
func snapshotted(t *testing.T, n *world.Node, member client.Member) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport(raft.ServerAddress(member.Address))
		r, err := replica.Open(t.Context(), replica.Options{
			Dir: n.Path("private", "raft"), Transport: transport, ID: raft.ServerID(member.ID), Log: slog.New(slog.DiscardHandler),
			SnapshotEntries: 1, TrailingEntries: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WaitLeading(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // in which raft looks whether one is due
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestADamagedSnapshotEndsTheStartAndIsNamed(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	root, member := n.Admin().Authority("x509", "active").ID, n.Admin().Status().Members[0]
	n.Stop()
	snapshotted(t, n, member)
	found, err := filepath.Glob(n.Path("private", "raft", "snapshots", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots %q, %v", found, err)
	}
	whole, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*testing.T, string){
		"its first byte": flip(0), "its last byte": flip(-1), "a byte in the middle": flip(len(whole) / 2), "its end": truncate(int64(len(whole) - 100)),
	} {
		t.Run(name, func(t *testing.T) {
			spoil(t, found[0])
			if err := n.TryStart(); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(found[0], filepath.Ext(found[0]))) {
				t.Errorf("got %v, want it to name %s", err, found[0])
			}
			if err := os.WriteFile(found[0], whole, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	n.Start()
	if got := n.Admin(); got.Authority("x509", "active").ID != root || len(got.Entries()) != 1 {
		t.Error("from the snapshot alone it is not what it was")
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// copyTree copies what a stopped node left; sockets are not data.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, inside), info.Mode().Perm())
		case !info.Mode().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(filepath.Join(to, inside), content, info.Mode().Perm()), os.Chmod(filepath.Join(to, inside), info.Mode().Perm()))
	})
	if err != nil {
		t.Fatal(err)
	}
}
