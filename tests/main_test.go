package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is where what the tests of this package need is built, once.
var built string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if built, err = os.MkdirTemp("", "concord-tests-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(built)
	return m.Run()
}

var buildConcord = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(built, "concord")
	build := exec.Command("go", "build", "-o", binary, "./cmd/concord")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath") // as the Makefile builds it
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/concord: %w\n%s", err, output)
	}
	return binary, nil
})

// concord returns the binary, built from these sources as it ships.
func concord(t *testing.T) string {
	t.Helper()
	binary, err := buildConcord()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
