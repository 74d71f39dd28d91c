package replica_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/concord-id/concord/broker/replica"
)

// A process that is going to be killed, or may crash, is this test binary,
// started again to do one thing to a directory.
const (
	childDoes = "CONCORD_TEST_CHILD_DOES"
	childDir  = "CONCORD_TEST_CHILD_DIR"
)

func TestMain(m *testing.M) {
	does := map[string]func(ctx context.Context, dir string) error{"acknowledge": acknowledge, "digests": printDigests}
	what := os.Getenv(childDoes)
	if what == "" {
		os.Exit(m.Run())
	}
	if err := does[what](context.Background(), os.Getenv(childDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is the process that does what to dir; it ends with the test.
func child(t *testing.T, what, dir string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDoes+"="+what, childDir+"="+dir)
	return cmd
}

// openAlone opens a replica in a child and waits until it leads, or fails.
func openAlone(ctx context.Context, dir string) (*replica.Replica, error) {
	r, err := replica.Open(ctx, replica.Options{Dir: dir, ListenAddr: "127.0.0.1:0", Log: quiet})
	if err != nil {
		return nil, err
	}
	led := make(chan error, 1)
	go func() { led <- r.WaitLeading(ctx) }()
	select {
	case err = <-r.Failed():
	case err = <-led:
	}
	return r, err
}

// printDigests prints for each of several directories the digest of the state
// in it, or why there is none.
func printDigests(ctx context.Context, dirs string) error {
	for _, dir := range filepath.SplitList(dirs) {
		r, err := openAlone(ctx, dir)
		if err != nil {
			fmt.Printf("%q\n", err)
			continue
		}
		fmt.Printf("%x\n", r.View().Digest())
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}
