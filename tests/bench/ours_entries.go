package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/workload"
)

// A million entries of a thousand agents.
const (
	manyEntries     = 1_000_000
	entriesPerAgent = 1000
	entriesResident = 2 << 30 // bytes
	entriesRestart  = 30 * time.Second
	entriesFound    = 5 * time.Millisecond
)

// population is what a process says that holds the entries.
type population struct {
	Resident uint64        // bytes of the process after a restore
	Restart  time.Duration // of a core, to read the snapshot
	Found    time.Duration // the entries of one agent, the median of a hundred agents
}

// entries measures a state of a million entries, in a process of its own: how
// much memory it takes, how long a restart reads its snapshot, and how fast an
// agent's entries are found. It has no floor: nothing else does the same.
func entries(ctx context.Context) (result, error) {
	dir, err := os.MkdirTemp("", "entries")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	snapshot := dir + "/snapshot"
	if _, err := part(ctx, "write-entries", snapshot); err != nil {
		return result{}, err
	}
	text, err := part(ctx, "read-entries", snapshot)
	if err != nil {
		return result{}, err
	}
	var p population
	if err := json.Unmarshal(text, &p); err != nil {
		return result{}, err
	}
	return result{
		floor: "–", ours: fmt.Sprintf("%.2f GiB", float64(p.Resident)/(1<<30)),
		ratio: fmt.Sprintf("%.1f s, %s", p.Restart.Seconds(), milliseconds(p.Found)),
		met:   p.Resident < entriesResident && p.Restart < entriesRestart && p.Found < entriesFound,
	}, nil
}

// part runs this program again, for one part of a row, and returns what it prints.
func part(ctx context.Context, name, file string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "--part", name, "--file", file)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

// writeEntries makes the state and writes its snapshot to file.
func writeEntries(file string) error {
	m := state.NewMachine()
	domain := issue.Domain{Keys: keys.NewMemory(), Cluster: "bench", TrustDomain: benchDomain, KeyType: ca.P256}
	found := state.Bootstrap{ClusterID: "bench", TrustDomain: benchDomain, Settings: state.DefaultSettings()}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		a, err := domain.NewAuthority(use, found.Settings.RootTTL, time.Now())
		if err != nil {
			return err
		}
		a.Status = ca.Active
		found.Authorities = append(found.Authorities, a)
	}
	act := broker.Act{Actor: "bench", Cause: "bench", At: time.Now()}
	apply := func(index int, c state.Command) error {
		entry, err := state.Encode(act, c)
		if err != nil {
			return err
		}
		applied, err := m.Apply(uint64(index), entry)
		if err == nil && applied.Refusal != nil {
			err = applied.Refusal
		}
		return err
	}
	if err := apply(1, found); err != nil {
		return err
	}
	for i := range manyEntries {
		if err := apply(i+2, state.PutEntry{Entry: oneOfMany(i)}); err != nil {
			return err
		}
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = m.View().WriteTo(out)
	return err
}

func oneOfMany(i int) workload.Entry {
	selectors := []attest.Selector{
		{Type: "k8s", Value: "cluster:one"}, {Type: "k8s", Value: "ns:n" + strconv.Itoa(i%100)}, {Type: "k8s", Value: "sa:s" + strconv.Itoa(i)},
	}
	return workload.Entry{
		ID:       fmt.Sprintf("%08x-5f0c-4b7e-9a31-c0ffee%06x", uint32(i)*2654435761, i),
		SPIFFEID: spiffeid.RequireFromPath(benchDomain, fmt.Sprintf("/ns/n%d/sa/s%d", i%100, i)),
		ParentID: hostAgent(i / entriesPerAgent).ID, Selectors: attest.Sort(selectors),
	}
}

func hostAgent(n int) state.Agent {
	return state.Agent{ID: spiffeid.RequireFromPath(benchDomain, "/spire/agent/k8s_psat/one/"+strconv.Itoa(n)), Method: "k8s_psat"}
}

// readEntries restores the snapshot as a node that starts does, and says what that took.
func readEntries(file string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	m := state.NewMachine()
	busy := processorTime()
	if err := m.Restore(in); err != nil {
		return err
	}
	p := population{Restart: processorTime() - busy}
	var found []time.Duration
	for n := range 100 {
		begun := time.Now()
		if got := len(m.View().EntriesOf(hostAgent(n * 10))); got != entriesPerAgent {
			return fmt.Errorf("agent %d has %d entries", n, got)
		}
		found = append(found, time.Since(begun))
	}
	slices.Sort(found)
	p.Found = found[len(found)/2]
	debug.FreeOSMemory()
	if p.Resident, err = resident("/proc/self/status"); err != nil {
		return err
	}
	runtime.KeepAlive(m)
	return json.NewEncoder(os.Stdout).Encode(p)
}

// resident reads the resident bytes of a process (proc_pid_status(5)).
func resident(status string) (uint64, error) {
	in, err := os.Open(status)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not say what is resident", status)
}
