package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca/keys"
)

// kekStore is the key-encryption keys (KEK) that this node has: the one that the
// state says, and those that may take its place, which are on the disks of a
// majority before the state is told to.
type kekStore struct {
	dir  dataDir
	ring *keys.Ring
	own  bool // they are in files of this node's own, and handed over; else they are provided

	mu sync.Mutex // over the files
}

// successor is a KEK that may take the place of the one that the Reseal at log
// index after brought, as long as removed members have been removed. What the
// state says when it does is the same: so one that can still take its place is
// never thrown away, and one that a removed member has never does.
type successor struct {
	after, removed uint64
	id             string
}

const (
	successorPrefix = "kek.next-"
	// maxSuccessors bounds the files: one a member that led, and a removal meanwhile.
	maxSuccessors = 64
)

func (s successor) name() string {
	return fmt.Sprintf("%s%d-%d-%s", successorPrefix, s.after, s.removed, s.id)
}

func parseSuccessor(name string) (s successor, ok bool) {
	_, err := fmt.Sscanf(name, successorPrefix+"%d-%d-%s", &s.after, &s.removed, &s.id)
	return s, err == nil && s.name() == name
}

// openKEKStore opens the KEK in files below dir, and makes the first.
func openKEKStore(dir dataDir) (*kekStore, bool, error) {
	if err := dir.dropUnnamed(); err != nil {
		return nil, false, err
	}
	sealed, err := keys.NewSealed(dir.kek())
	if err != nil {
		return nil, false, err
	}
	k := &kekStore{dir: dir, ring: keys.NewRing(sealed), own: true}
	all, err := k.successors()
	for _, s := range all {
		var next *keys.Sealed
		if next, err = keys.OpenSealed(k.path(s)); err == nil && next.ID() != s.id {
			err = fmt.Errorf("%s holds another key-encryption key than its name says: it is damaged, remove it", k.path(s))
		}
		if err != nil {
			break
		}
		k.ring.Add(next)
	}
	return k, sealed.Made(), err
}

// dropUnnamed removes KEKs that were being written when a crash came: nobody was
// told of them.
func (d dataDir) dropUnnamed() error {
	left, err := filepath.Glob(filepath.Join(d.private(), keys.UnnamedKEKs))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func (k *kekStore) path(s successor) string { return filepath.Join(k.dir.private(), s.name()) }

// successors are those that this node has, in the order of their names.
func (k *kekStore) successors() ([]successor, error) {
	names, err := os.ReadDir(k.dir.private())
	if err != nil {
		return nil, fmt.Errorf("look for key-encryption keys: %w", err)
	}
	var all []successor
	for _, name := range names {
		if s, ok := parseSuccessor(name.Name()); ok {
			all = append(all, s)
		}
	}
	return all, nil
}

// successor returns the KEK that is to take the place of the one of now: one that
// this node has already, or a new one, on the disk.
func (k *kekStore) successor(after, removed uint64) (successor, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.successors()
	if err != nil {
		return successor{}, nil, err
	}
	if at := slices.IndexFunc(all, func(s successor) bool { return s.after == after && s.removed == removed }); at >= 0 {
		kek, err := keys.ReadKEK(k.path(all[at]))
		return all[at], kek, err
	}
	kek, err := keys.NewKEK()
	if err != nil {
		return successor{}, nil, fmt.Errorf("make a key-encryption key: %w", err)
	}
	s := successor{after, removed, keys.KEKID(kek)}
	return s, kek, k.write(s, kek, len(all))
}

// keep keeps a KEK that another member made.
func (k *kekStore) keep(s successor, kek []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.successors()
	if err != nil || slices.Contains(all, s) {
		return err
	}
	return k.write(s, kek, len(all))
}

// write brings a KEK to the disk; before is how many successors there are.
func (k *kekStore) write(s successor, kek []byte, before int) error {
	if before >= maxSuccessors {
		return broker.Refuse(broker.ResourceExhausted, "%d key-encryption keys wait in %s to take the place of the one of now, and none did: see why the keys are not sealed anew", before, k.dir.private())
	}
	if err := keys.WriteKEK(k.path(s), kek); err != nil {
		return fmt.Errorf("keep a key-encryption key: %w", err)
	}
	next, err := keys.OpenSealed(k.path(s))
	if err == nil {
		k.ring.Add(next)
	}
	return err
}

// read returns the KEK called id.
func (k *kekStore) read(id string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	paths := []string{k.dir.kek()}
	all, err := k.successors()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.id == id {
			paths = append(paths, k.path(s))
		}
	}
	for _, path := range paths {
		kek, err := keys.ReadKEK(path)
		if err != nil {
			return nil, err
		}
		if keys.KEKID(kek) == id {
			return kek, nil
		}
		clear(kek)
	}
	return nil, fs.ErrNotExist
}

// use has the KEK that the state says seal, and throws away those that cannot take
// its place any more, the one before it above all. The KEK is here. It reports
// whether another one sealed before.
func (k *kekStore) use(s state.Sealing) (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	changed = k.ring.Sealing().ID() != s.KEK
	if !k.own {
		if changed {
			k.ring.Use(s.KEK)
		}
		return changed, nil
	}
	all, err := k.successors()
	if err != nil {
		return changed, err
	}
	var left []string
	for _, next := range all {
		switch {
		case next.id == s.KEK:
			err = os.Rename(k.path(next), k.dir.kek())
		case next.after < s.Index:
			err = os.Remove(k.path(next))
		default:
			left = append(left, next.id)
		}
		if err != nil {
			return changed, fmt.Errorf("put the key-encryption key %s in the place of the one before: %w", s.KEK, err)
		}
	}
	k.ring.Use(s.KEK, left...)
	if len(left) == len(all) {
		return changed, nil
	}
	sealed, err := keys.OpenSealed(k.dir.kek())
	if err == nil {
		k.ring.Add(sealed) // it is in another file now
		err = syncDirectory(k.dir.private())
	}
	return changed, err
}
