package state_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func snapshot(t fataler, v *state.View) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := v.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes written, %d counted, %v", b.Len(), n, err)
	}
	return b.Bytes()
}

// lived is a world in which there is something of every kind.
func lived(t fataler) *world {
	w := followed(t)
	for i, c := range samples()[1:] {
		w.later(time.Minute).applyAs(w.as("r"+string(rune('a'+i))), c)
	}
	w.do(operator(bundle(bank, 7, []int{10}, []int{11})))
	w.do(state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	w.do(state.PutEntry{Entry: entry("b", "/b", "unix:uid:1", "unix:gid:1")})
	w.do(state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/concord/n1"), Method: "concord:node"}})
	w.do(activate(3))
	w.do(joinToken(3, w.now.Add(time.Hour)))
	w.do(admit(3))
	w.do(duties(2, 1, 3))
	w.do(joinToken(4, w.now.Add(time.Hour)))
	return w
}

func TestASnapshotIsTheState(t *testing.T) {
	w := lived(t)
	saved := snapshot(t, w.machine.View())
	restored := &world{t: t, machine: state.NewMachine(), index: w.index, now: w.now}
	if err := restored.machine.Restore(iotest.OneByteReader(bytes.NewReader(saved))); err != nil {
		t.Fatal(err)
	}
	a, b := w.machine.View(), restored.machine.View()
	if a.Digest() != b.Digest() || a.AuditHead() != b.AuditHead() || a.Index() != b.Index() {
		t.Error("the restored state has another digest, head or index")
	}
	if w.records() != restored.records() {
		t.Errorf("the restored state is\n%s\nnot\n%s", restored.records(), w.records())
	}
	if !bytes.Equal(saved, snapshot(t, b)) {
		t.Error("equal states give different snapshots")
	}
	// The indexes are there again too.
	node := state.Agent{ID: id("/spire/agent/concord/n1")}
	if len(b.EntriesOf(node)) != len(a.EntriesOf(node)) || len(b.EntriesOf(node)) == 0 {
		t.Errorf("the node has %d entries, not %d", len(b.EntriesOf(node)), len(a.EntriesOf(node)))
	}
	restored.refused(broker.FailedPrecondition, operator(bundle(shop, 1, []int{10}, nil)))
	restored.refused(broker.FailedPrecondition, operator(bundle(shop, 1, []int{1}, nil)))
	restored.refused(broker.PermissionDenied, started(2, 9))
	if again := restored.applyAs(restored.as("rc"), samples()[3]); !again.Repeated {
		t.Errorf("requests are forgotten: %+v", again)
	}
}

func TestADamagedSnapshotReplacesNothing(t *testing.T) {
	saved := snapshot(t, lived(t).machine.View())
	w := founded(t)
	before := w.machine.View()
	try := func(what string, b []byte) {
		t.Helper()
		if err := w.machine.Restore(bytes.NewReader(b)); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if w.machine.View() != before {
			t.Fatalf("%s replaced the state", what)
		}
	}
	for i := 0; i < len(saved); i += 13 {
		saved[i] ^= 0x10
		try("a flipped bit", saved)
		saved[i] ^= 0x10
	}
	for n := 0; n < len(saved); n += 61 {
		try("a shorter one", saved[:n])
	}
	try("a longer one", append(bytes.Clone(saved), 0))
	try("nothing", nil)
	try("something else", []byte(strings.Repeat("x", 4096)))
}

// resummed replaces the sum at the end of a snapshot.
func resummed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestASnapshotOfANewerVersionAsksForAnUpgrade(t *testing.T) {
	saved := snapshot(t, lived(t).machine.View())
	body := saved[:len(saved)-sha256.Size]
	magic := len("concord state")
	m := state.NewMachine()
	size, n := protowire.ConsumeVarint(body[magic+1:])
	header := body[magic+1+n : magic+1+n+int(size)]

	newer := append(append(bytes.Clone(body[:magic]), 2), body[magic+1:]...)
	if err := m.Restore(bytes.NewReader(resummed(newer))); !errors.Is(err, state.ErrUnknownCommand) {
		t.Errorf("an unknown format: %v", err)
	}
	newer = bytes.Clone(body[:magic+1])
	newer = protowire.AppendBytes(newer, header)
	newer = protowire.AppendBytes(newer, []byte{200, 8, 1})
	if err := m.Restore(bytes.NewReader(resummed(newer))); !errors.Is(err, state.ErrUnknownCommand) {
		t.Errorf("an unknown record: %v", err)
	}
	newer = bytes.Clone(body[:magic+1])
	newer = protowire.AppendBytes(newer, append(bytes.Clone(header), number(9, 1)...))
	if err := m.Restore(bytes.NewReader(resummed(newer))); !errors.Is(err, state.ErrUnknownCommand) {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestASnapshotThatDisagreesWithItselfIsDamaged(t *testing.T) {
	saved := snapshot(t, founded(t).machine.View())
	body := saved[:len(saved)-sha256.Size]
	var records [][]byte
	magic := len("concord state") + 1
	for rest := body[magic:]; len(rest) > 0; {
		record, n := protowire.ConsumeBytes(rest)
		records, rest = append(records, record), rest[n:]
	}
	build := func(records ...[]byte) []byte {
		b := bytes.Clone(body[:magic])
		for _, r := range records {
			b = protowire.AppendBytes(b, r)
		}
		return resummed(b)
	}
	last := len(records) - 1
	m := state.NewMachine()
	if err := m.Restore(bytes.NewReader(build(records...))); err != nil {
		t.Fatal(err)
	}
	without := append(append([][]byte{}, records[:3]...), records[4:]...)
	swapped := append([][]byte{}, records...)
	swapped[1], swapped[2] = records[2], records[1]
	twice := append(append([][]byte{}, records[:2]...), records[1:]...)
	for name, b := range map[string][]byte{
		"a record is missing":     build(without...),
		"two records are swapped": build(swapped...),
		"a record is there twice": build(twice...),
		"the trailer is missing":  build(records[:last]...),
		"the header is missing":   build(records[1:]...),
		"a record has no kind":    build(records[0], nil, records[last]),
		"something follows":       build(append(records, []byte{4})...),
	} {
		if err := m.Restore(bytes.NewReader(b)); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnErrorOfTheDiskIsNotDamage(t *testing.T) {
	saved := snapshot(t, founded(t).machine.View())
	broken := errors.New("the disk is gone")
	m := state.NewMachine()
	if err := m.Restore(io.MultiReader(bytes.NewReader(saved[:200]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a read error: %v", err)
	}
	if _, err := founded(t).machine.View().WriteTo(brokenWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("a write error: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestTheLogIsReadInOrder(t *testing.T) {
	w := founded(t)
	encoded, err := state.Encode(sampleAct(), state.DeleteEntry{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.machine.Apply(1, encoded); err == nil {
		t.Error("entry 1 was applied twice")
	}
	if _, err := w.machine.Apply(10, encoded); err != nil { // raft has entries of its own between
		t.Error(err)
	}
	before := w.machine.View()
	encoded[3] ^= 1
	if _, err := w.machine.Apply(11, encoded); !errors.Is(err, state.ErrCorrupt) || w.machine.View() != before {
		t.Errorf("a damaged entry: %v", err)
	}
}

func TestATrialChangesNothing(t *testing.T) {
	w := founded(t)
	before, digest := w.records(), w.machine.View().Digest()
	next, applied, err := w.machine.View().Try(w.act(), state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	if err != nil || applied.Refusal != nil || !applied.Change.Entry("a") {
		t.Fatalf("%+v, %v", applied, err)
	}
	if _, ok := next.Entry("a"); !ok || next.EntryCount() != 1 {
		t.Error("the trial did not make the entry")
	}
	if w.records() != before || w.machine.View().Digest() != digest {
		t.Error("the trial changed the state")
	}
	if _, applied, err = w.machine.View().Try(w.act(), state.DeleteEntry{ID: "a"}); err != nil || applied.Refusal == nil {
		t.Errorf("a trial that must be refused: %+v, %v", applied, err)
	}
	if _, _, err = w.machine.View().Try(w.act(), state.DeleteEntry{}); broker.CodeOf(err) != broker.InvalidArgument {
		t.Errorf("a trial of what is invalid: %v", err)
	}
}
