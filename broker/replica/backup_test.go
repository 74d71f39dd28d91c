package replica_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// viewOf is a state with a domain.
func viewOf(t testing.TB) *state.View {
	t.Helper()
	domain, err := firstDomain()
	if err != nil {
		t.Fatal(err)
	}
	entry, err := state.Encode(broker.Act{Actor: "test", At: time.Unix(1_800_000_000, 0)}, domain)
	if err != nil {
		t.Fatal(err)
	}
	m := state.NewMachine()
	if _, err := m.Apply(7, entry); err != nil {
		t.Fatal(err)
	}
	return m.View()
}

func backupOf(t testing.TB, view *state.View) []byte {
	t.Helper()
	var out bytes.Buffer
	about := replica.Backup{At: time.Unix(1_800_000_000, 0).UTC(), Node: "n1", Version: "1.0", KEKs: []string{"a1"}}
	if err := replica.WriteBackup(&out, view, about); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(b []byte) (replica.Backup, *state.View, error) {
	return replica.ReadBackup(bytes.NewReader(b), int64(len(b)))
}

func TestABackupIsReadAsItWasWritten(t *testing.T) {
	view := viewOf(t)
	b := backupOf(t, view)
	about, got, err := read(b)
	if err != nil || got.Digest() != view.Digest() {
		t.Fatalf("read: %v", err)
	}
	check := replica.NewBackupCheck()
	for _, one := range b { // however it comes
		if _, err := check.Write([]byte{one}); err != nil {
			t.Fatal(err)
		}
	}
	passing, size, err := check.End()
	if err != nil || size != int64(len(b)) || !reflect.DeepEqual(passing, about) {
		t.Errorf("passing by: %+v, %d bytes, %v", passing, size, err)
	}
	if about.TrustDomain != acme.Name() || about.ClusterID != "cluster" || about.Index != 7 || about.Node != "n1" || len(about.KEKs) != 1 {
		t.Errorf("it says of itself %+v", about)
	}
}

// RELIABILITY §1 row 19.
func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	b := backupOf(t, viewOf(t))
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if _, view, err := read(b); err == nil || view != nil {
			t.Errorf("%s %d: it was read", what, at)
		}
	}
	for i := range b {
		refused("cut off at byte", i, b[:i])
		flipped := bytes.Clone(b)
		flipped[i] ^= 1 << (i % 8)
		refused("a flipped bit in byte", i, flipped)
	}
	refused("more behind it", 0, append(bytes.Clone(b), 0))
	for _, foreign := range [][]byte{nil, []byte("{}"), []byte("concord state\x01"), bytes.Repeat([]byte{0}, 4096)} {
		if _, _, err := read(foreign); !errors.Is(err, replica.ErrNoBackup) {
			t.Errorf("%.20q: %v", foreign, err)
		}
	}
	if err := replica.WriteBackup(io.Discard, state.NewMachine().View(), replica.Backup{}); err == nil {
		t.Error("nothing was backed up")
	}
}

// A reader of foreign bytes: what it takes, it would write.
func FuzzBackup(f *testing.F) {
	view := viewOf(f)
	f.Add(backupOf(f, view))
	f.Add([]byte("concord backup 1\n{}\n"))
	f.Add([]byte("concord backup 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		about, got, err := read(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := replica.WriteBackup(&again, got, about); err != nil {
			t.Fatal(err)
		}
		if second, _, err := read(again.Bytes()); err != nil || !reflect.DeepEqual(second, about) {
			t.Errorf("written again it says %+v, it said %+v: %v", second, about, err)
		}
	})
}

func TestANodeIsFoundedWithAState(t *testing.T) {
	view := viewOf(t)
	dir := filepath.Join(t.TempDir(), "raft")
	id, err := replica.Found(dir, view)
	if err != nil {
		t.Fatal(err)
	}
	r, err := replica.Open(t.Context(), replica.Options{Dir: dir, ListenAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.WaitLeading(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.ID() != id || r.View().Digest() != view.Digest() {
		t.Errorf("it is %s at index %d, want %s at %d", r.ID(), r.View().Index(), id, view.Index())
	}
	if members := r.Status().Members; len(members) != 1 || members[0].ID != id {
		t.Errorf("its members are %+v", members)
	}
	if err := r.Promote(id, raft.ServerAddress(r.Addr().String())); err != nil {
		t.Errorf("it cannot say where it is: %v", err)
	}
	if _, err := replica.Found(dir, view); err == nil {
		t.Error("it was founded a second time")
	}
}
