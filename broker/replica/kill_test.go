package replica_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/replica"
)

// acknowledge registers agents without end and prints each number when its
// registration was acknowledged.
func acknowledge(ctx context.Context, dir string) error {
	r, err := openAlone(ctx, dir)
	if err != nil {
		return err
	}
	c, err := firstDomain()
	if err != nil {
		return err
	}
	if r.View().Index() == 0 {
		if _, err := r.Propose(ctx, act("bootstrap"), c); err != nil {
			return err
		}
	}
	for n := r.View().AgentCount(); ; n++ {
		if _, err := r.Propose(ctx, act(request(n)), agent(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func TestAKilledProcessLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(3, 4))
	acknowledged := 0
	for range 3 {
		acknowledged = max(acknowledged, killAfter(t, dir, 5+random.IntN(60)))
		killed := open(t, replica.Options{Dir: copyDir(t, dir)})
		leads(t, killed)
		for n := range acknowledged {
			if !has(killed, n) {
				t.Fatalf("agent %d of %d was acknowledged and is gone", n, acknowledged)
			}
		}
		closeReplica(t, killed)
	}
}

// killAfter kills a process on dir once it has acknowledged some registrations,
// and returns one more than the last of them.
func killAfter(t *testing.T, dir string, acknowledgements int) int {
	t.Helper()
	cmd := child(t, "acknowledge", dir)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	last := -1
	for seen := 0; lines.Scan(); seen++ { // what it said before it died counts too
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if seen == acknowledgements {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || complaints.Len() > 0 {
		t.Fatalf("it ended by itself: %v %s", err, complaints.String())
	}
	return last + 1
}
