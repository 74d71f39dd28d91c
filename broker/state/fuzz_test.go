package state_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/state"
)

// bounded fails if f needs more memory than 64 times its input and 1 MiB.
func bounded(t *testing.T, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(64*size+1<<20) {
		t.Errorf("%d bytes of input took %d bytes of memory", size, used)
	}
}

// FuzzCommand decodes log entries. What is taken has one encoding, and is
// applied or refused without stopping the node.
func FuzzCommand(f *testing.F) {
	for _, c := range append(samples(), started(1, 2), admit(3), duties(1, 1, 2), state.RemoveMember{ID: nodeID(2)}) {
		encoded, err := state.Encode(sampleAct(), c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded[:len(encoded)-4])
	}
	f.Add([]byte{1, 3})
	f.Add([]byte{1, 3, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	w := clustered(f, 2)
	w.do(joinToken(3, w.now.Add(time.Hour)))
	base := w.machine.View()
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, _, err := state.Decode(body); err == nil && len(body) < 6 {
			t.Error("too short to have a checksum, and taken")
		}
		encoded := sealed(body)
		var err error
		bounded(t, len(encoded), func() { _, _, err = state.Decode(encoded) })
		if err != nil {
			if !errors.Is(err, state.ErrCorrupt) && !errors.Is(err, state.ErrUnknownCommand) {
				t.Errorf("an error that says nothing: %v", err)
			}
			return
		}
		act, c, _ := state.Decode(encoded)
		if again, err := state.Encode(act, c); err == nil && !bytes.Equal(again, encoded) {
			t.Errorf("%x is read as %+v, which is written as %x", encoded, c, again)
		}
		m := state.NewMachine()
		if err := m.Restore(bytes.NewReader(snapshot(t, base))); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(base.Index()+1, encoded); err != nil {
			t.Errorf("%+v was decoded and stops the node: %v", c, err)
		}
		if err := state.NewMachine().Restore(bytes.NewReader(snapshot(t, m.View()))); err != nil {
			t.Errorf("after %+v the snapshot cannot be read: %v", c, err)
		}
	})
}

// FuzzSnapshot reads snapshots. What is taken is written in the same bytes.
func FuzzSnapshot(f *testing.F) {
	for _, w := range []*world{newWorld(f), founded(f), lived(f)} {
		saved := snapshot(f, w.machine.View())
		f.Add(saved[:len(saved)-sha256.Size])
	}
	f.Add([]byte("concord state\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if errors.Is(state.NewMachine().Restore(bytes.NewReader(body)), state.ErrUnknownCommand) {
			t.Error("what has another checksum is not of a newer version")
		}
		saved := resummed(body)
		m := state.NewMachine()
		var err error
		bounded(t, len(saved), func() { err = m.Restore(bytes.NewReader(saved)) })
		if err != nil {
			if !errors.Is(err, state.ErrCorrupt) && !errors.Is(err, state.ErrUnknownCommand) {
				t.Errorf("an error that says nothing: %v", err)
			}
			return
		}
		if again := snapshot(t, m.View()); !bytes.Equal(again, saved) {
			t.Errorf("%x is written as %x", saved, again)
		}
	})
}
