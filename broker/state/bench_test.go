package state_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/workload"
)

// DESIGN §6 speaks of a million: go test -bench . -entries 1000000.
var population = flag.Int("entries", 50_000, "how many entries the benchmarks have")

const perAgent = 1000

// populated has the entries of many agents, perAgent each.
func populated(b *testing.B) *world {
	w := founded(b)
	for i := range *population {
		w.do(state.PutEntry{Entry: crowdEntry(i)})
		w.log = nil
	}
	return w
}

func crowdEntry(i int) workload.Entry {
	e := entry(fmt.Sprintf("%08x-5f0c-4b7e-9a31-c0ffee%06x", uint32(i)*2654435761, i), fmt.Sprintf("/ns/n%d/sa/s%d", i%100, i),
		"k8s:cluster:one", fmt.Sprintf("k8s:ns:n%d", i%100), fmt.Sprintf("k8s:sa:s%d", i))
	e.ParentID = agentOf(i / perAgent).ID
	return e
}

func agentOf(n int) state.Agent {
	return state.Agent{ID: id(fmt.Sprintf("/spire/agent/k8s_psat/one/%d", n)), Method: "k8s_psat"}
}

// processor is how long this process has kept a core busy.
func processor() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkPutEntry is a command into a state of many entries.
func BenchmarkPutEntry(b *testing.B) {
	w := populated(b)
	i := *population
	for b.Loop() {
		w.do(state.PutEntry{Entry: crowdEntry(i)})
		w.log = nil
		i++
	}
}

// BenchmarkRestore reads a snapshot: what a restart costs.
func BenchmarkRestore(b *testing.B) {
	w := populated(b)
	var snapshot bytes.Buffer
	if _, err := w.machine.View().WriteTo(&snapshot); err != nil {
		b.Fatal(err)
	}
	w = nil
	for b.Loop() {
		m := state.NewMachine()
		before, busy := heap(), processor()
		if err := m.Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((processor() - busy).Seconds(), "cpu-s")
		b.ReportMetric(heap()-before, "restored-MiB")
		runtime.KeepAlive(m)
	}
}

// BenchmarkSnapshot writes one.
func BenchmarkSnapshot(b *testing.B) {
	v := populated(b).machine.View()
	for b.Loop() {
		if _, err := v.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEntriesOf finds an agent's entries among all.
func BenchmarkEntriesOf(b *testing.B) {
	v := populated(b).machine.View()
	for b.Loop() {
		if n := len(v.EntriesOf(agentOf(7))); n != perAgent {
			b.Fatalf("%d entries", n)
		}
	}
}

// BenchmarkEntriesFor finds a workload's entries among all of its agent.
func BenchmarkEntriesFor(b *testing.B) {
	v := populated(b).machine.View()
	have := attest.Sort(append(selectors("k8s:cluster:one", "k8s:ns:n42", "k8s:sa:s7042"), selectors("unix:uid:0", "unix:gid:0")...))
	for b.Loop() {
		if n := len(v.EntriesFor(agentOf(7), have)); n != 1 {
			b.Fatalf("%d entries", n)
		}
	}
}
