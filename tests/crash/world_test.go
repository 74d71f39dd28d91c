package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/concord-id/concord/tests/crash/powercut"
	"github.com/concord-id/concord/tests/edited"
)

// root is the repository, seen from here.
const root = "../.."

// built are the programs of this test process, each built once.
var built struct {
	dir   string
	mu    sync.Mutex
	paths map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		panic(err)
	}
	built.dir, built.paths = dir, map[string]func() (string, error){}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is the node with edits, under a name that stands for them.
func program(t *testing.T, name string, edits ...edited.Edit) []string {
	t.Helper()
	built.mu.Lock()
	made, ok := built.paths[name]
	if !ok {
		made = sync.OnceValues(func() (string, error) {
			path := filepath.Join(built.dir, name)
			return path, edited.Build(context.Background(), root, path, edits...)
		})
		built.paths[name] = made
	}
	built.mu.Unlock()
	path, err := made()
	try(t, err)
	return []string{path}
}

// shipped is the node as it ships.
func shipped(t *testing.T) []string { return program(t, "concord") }

// withoutSync is a variable that keeps the planted bug from the log: in the
// environment of a node that was built with plant, nothing is synced.
const withoutSync = "CONCORD_TEST_WITHOUT_SYNC"

// plant makes a node that can be told not to bring its log to the disk. It is
// built with hasty, because each build takes its time.
var plant = []edited.Edit{
	{File: "broker/replica/store.go", Old: "raftboltdb.Options{Path: path, ", New: "raftboltdb.Options{Path: path, NoSync: os.Getenv(\"" + withoutSync + "\") != \"\", "},
}

// snapping is the node that takes snapshots all the time.
func snapping(t *testing.T) []string { return program(t, "hasty", append(plant, hasty...)...) }

// unsynced is the node whose log is never brought to the disk.
func unsynced(t *testing.T) []string {
	return append([]string{"env", withoutSync + "=1"}, snapping(t)...)
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shortDir is a new directory with room for the path of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	try(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// onDisk returns ground that is cut from under a node.
func onDisk(t *testing.T) *thin {
	t.Helper()
	g, err := layThin(nil)
	try(t, err)
	t.Cleanup(func() { try(t, g.remove()) })
	// Once, to know whether it can be done here.
	if _, err = g.lay(); errors.Is(err, powercut.ErrNoFUSE) {
		t.Skip(err)
	}
	try(t, err)
	try(t, g.clear())
	return g
}

// soon returns a context for what must happen once there are programs.
func soon(t *testing.T) context.Context {
	t.Helper()
	shipped(t)
	snapping(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("it did not happen within "+patience.String()))
	t.Cleanup(cancel)
	return ctx
}

// said writes what a campaign prints to the test's log.
type said struct{ t *testing.T }

func (s said) Write(p []byte) (int, error) {
	s.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// copied returns a copy of a data directory, without its sockets.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(shortDir(t), "d")
	try(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, inside), info.Mode())
		case !info.Mode().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, inside), content, info.Mode())
	}))
	return to
}
