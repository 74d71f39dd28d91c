package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/concord-id/concord/tests/edited"
)

// clockFile is the variable that names the file with the seconds by which a
// node's wall clock is off.
const clockFile = "CONCORD_TEST_CLOCK"

// programs are the nodes that a campaign runs: as it ships, and one that takes
// snapshots all the time, which stands for another version.
type programs struct{ shipped, hasty string }

// hasty takes a snapshot every few entries, so that who was away needs one.
var hasty = []edited.Edit{
	{File: "broker/replica/open.go", Old: "snapshotEntries  = 4096", New: "snapshotEntries  = 64"},
	{File: "broker/replica/open.go", Old: "snapshotInterval = 30 * time.Second", New: "snapshotInterval = 500 * time.Millisecond"},
	{File: "broker/replica/open.go", Old: "trailingEntries  = 1024", New: "trailingEntries  = 32"},
}

// build makes both, in dir.
func build(ctx context.Context, o options, dir string) (programs, error) {
	p := programs{filepath.Join(dir, "concord"), filepath.Join(dir, "hasty")}
	var clocks []edited.Edit
	if o.needs(func(f fault) bool { return f.clock }) {
		var err error
		if clocks, err = settableClock(ctx); err != nil {
			return p, err
		}
	}
	err := edited.Build(ctx, o.root, p.shipped, clocks...)
	if err == nil && o.needs(func(f fault) bool { return f.version }) {
		err = edited.Build(ctx, o.root, p.hasty, append(clocks, hasty...)...)
	}
	return p, err
}

// settableClock has time.Now of a program be off by what stands in a file. What
// is monotonic, timers included, stays what it is, as when a person sets the clock.
func settableClock(ctx context.Context) ([]edited.Edit, error) {
	text, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	file := filepath.Join(strings.TrimSpace(string(text)), "src", "time", "time.go")
	return []edited.Edit{
		{File: file, Old: "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", New: "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += wrong.Load()\n"},
		{File: file, Old: "\n// Since returns the time elapsed", New: wrongClock + "\n// Since returns the time elapsed"},
		{File: file, Old: "import (\n", New: "import (\n\t\"sync/atomic\"\n\t\"syscall\"\n"},
	}, nil
}

// wrongClock reads the file ten times a second.
const wrongClock = `
var wrong atomic.Int64

func init() {
	if name, ok := syscall.Getenv("` + clockFile + `"); ok {
		wrong.Store(readWrong(name))
		go func() {
			for {
				Sleep(100 * Millisecond)
				wrong.Store(readWrong(name))
			}
		}()
	}
}

func readWrong(name string) (seconds int64) {
	fd, err := open(name)
	if err != nil {
		return wrong.Load()
	}
	defer closefd(fd)
	var text [20]byte
	n, err := read(fd, text[:])
	if err != nil || n == 0 {
		return wrong.Load()
	}
	sign := int64(1)
	for _, c := range text[:n] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			seconds = seconds*10 + int64(c-'0')
		}
	}
	return sign * seconds
}
`

// setClock has a machine's wall clock be off from now on.
func (m *machine) setClock(seconds int) error {
	next := m.clock + ".next" // so that nobody reads half of it
	if err := os.WriteFile(next, fmt.Appendln(nil, seconds), 0o600); err != nil {
		return err
	}
	return os.Rename(next, m.clock)
}
