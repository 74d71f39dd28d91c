package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/concord-id/concord/tests/crash/powercut"
)

// ground is where a node's data lies.
type ground interface {
	// lay makes the ground ready for the next life, and returns the data directory.
	lay() (dir string, err error)
	// clear takes it back when the process is gone.
	clear() error
}

// solid is an ordinary directory: what a process wrote outlives it.
type solid string

func (s solid) lay() (string, error) { return filepath.Join(string(s), "d"), nil }
func (s solid) clear() error         { return nil }

// thin is a disk that loses its power with each life.
type thin struct {
	disk   *powercut.Disk
	dir    string
	random *rand.Rand // what the disk had time for; nil: nothing
	mount  *powercut.Mount
}

// layThin makes a new disk, to be mounted on a new directory.
func layThin(random *rand.Rand) (*thin, error) {
	dir, err := os.MkdirTemp("", "c") // short: sockets are in it
	if err != nil {
		return nil, err
	}
	return &thin{disk: powercut.NewDisk(), dir: dir, random: random}, nil
}

func (t *thin) lay() (string, error) {
	var err error
	if t.mount, err = t.disk.Mount(t.dir); err != nil {
		return "", err
	}
	// One directory deeper, so that the data directory's own name is to be synced too.
	return filepath.Join(t.dir, "d"), nil
}

func (t *thin) clear() error {
	err := t.mount.Unmount()
	t.disk.Restore(t.random)
	return err
}

// remove removes what layThin made.
func (t *thin) remove() error {
	if err := os.Remove(t.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
