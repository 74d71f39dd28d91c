package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// synced is one sync of a file that was completed. Times are since 1970.
type synced struct {
	file       string
	begun, end time.Duration
}

// The lines that strace writes. Where another thread came in between, a call
// takes two of them, and the second has the time at which it returned.
var (
	callLine    = regexp.MustCompile(`^(\d+)\s+(\d+\.\d+)\s+(?:fdatasync|fsync)\(\d+<([^>]*)>(.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+)\s+(\d+\.\d+)\s+<\.\.\. (?:fdatasync|fsync) resumed>(.*)$`)
	returned    = regexp.MustCompile(`=\s*0\s+<(\d+\.\d+)>\s*$`)
)

// readSyncs reads what strace -f -ttt -T -y writes of fdatasync and fsync. A
// call that failed, or whose end is not there, is none.
func readSyncs(in io.Reader) (all []synced, err error) {
	open := map[string]synced{} // by thread
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if call := callLine.FindStringSubmatch(lines.Text()); call != nil {
			s := synced{file: call[3], begun: seconds(call[2])}
			if took := returned.FindStringSubmatch(call[4]); took != nil {
				s.end = s.begun + seconds(took[1])
				all = append(all, s)
			} else if strings.Contains(call[4], "<unfinished ...>") {
				open[call[1]] = s
			}
		} else if rest := resumedLine.FindStringSubmatch(lines.Text()); rest != nil {
			s, ok := open[rest[1]]
			delete(open, rest[1])
			if ok && returned.MatchString(rest[3]) {
				s.end = seconds(rest[2])
				all = append(all, s)
			}
		}
	}
	return all, lines.Err()
}

// seconds reads digits, a dot and digits.
func seconds(text string) time.Duration {
	d, err := time.ParseDuration(text + "s")
	if err != nil {
		panic(err) // the expressions above let nothing else through
	}
	return d
}

// since1970 is a moment as strace writes it, which leaves away nanoseconds.
func since1970(t time.Time) time.Duration {
	return time.Duration(t.UnixMicro()) * time.Microsecond
}

func TestReadSyncs(t *testing.T) {
	got, err := readSyncs(strings.NewReader(`
101 1795590017.283568 fdatasync(7</d/private/raft/log.db>) = 0 <0.000194>
102 1795590017.300000 fdatasync(7</d/private/raft/log.db> <unfinished ...>
103 1795590017.300001 fsync(9</d/private/audit/0.jsonl> <unfinished ...>
101 1795590017.300002 fdatasync(7</d/private/raft/log.db>) = -1 EIO (Input/output error) <0.000194>
102 1795590017.300900 <... fdatasync resumed>) = 0 <0.000880>
103 1795590017.301000 <... fsync resumed>)  = -1 EIO (Input/output error) <0.000999>
104 1795590017.400000 fdatasync(7</d/private/raft/log.db> <unfinished ...>
104 1795590017.400001 +++ killed by SIGKILL +++
`))
	const base = 1795590017 * time.Second
	want := []synced{
		{"/d/private/raft/log.db", base + 283568*time.Microsecond, base + 283762*time.Microsecond},
		{"/d/private/raft/log.db", base + 300000*time.Microsecond, base + 300900*time.Microsecond},
	}
	if err != nil || len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
}

// traced is a node whose syncs are written down.
type traced struct {
	*process
	syncs chan []synced // what was read when the node was gone
	errs  chan error
}

// startTraced runs the node as the traced child of nobody: it is this process's
// own child, so that it can be killed.
func startTraced(t *testing.T, dir string) *traced {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	lines, in, err := os.Pipe()
	try(t, err)
	program := []string{strace, "-D", "-f", "-q", "-ttt", "-T", "-y", "--seccomp-bpf", "-e", "trace=fdatasync,fsync", "-o", "/dev/fd/3"}
	p, err := start(append(program, shipped(t)...), dir, in)
	try(t, errors.Join(err, in.Close()))
	t.Cleanup(p.kill)
	n := &traced{p, make(chan []synced, 1), make(chan error, 1)}
	go func() {
		defer lines.Close()
		all, err := readSyncs(lines)
		n.syncs <- all
		n.errs <- err
	}()
	return n
}

// span is from a request to its answer.
type span struct {
	what       string
	begun, end time.Duration
}

// timed does something and says when.
func timed(what string, do func()) span {
	s := span{what: what, begun: since1970(time.Now())}
	do()
	s.end = since1970(time.Now())
	return s
}

// syncsWithin is how often the file called name was synced in s.
func syncsWithin(s span, all []synced, name string) (n int) {
	for _, one := range all {
		if filepath.Base(one.file) == name && one.begun >= s.begun && one.end <= s.end {
			n++
		}
	}
	return n
}

// A process that is killed loses nothing of what it gave the kernel, so that
// only this shows that a write is on the disk before it is acknowledged.
func TestEveryWriteIsSyncedBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	dir := filepath.Join(shortDir(t), "d")
	n := startTraced(t, dir)
	select {
	case <-n.up:
	case <-n.ended:
		if strings.Contains(n.log.String(), "ptrace") {
			t.Skipf("this process may not trace another: %s", tail(n.log.String(), 3))
		}
		t.Fatalf("the node ended:\n%s", tail(n.log.String(), 10))
	case <-ctx.Done():
		t.Fatal(context.Cause(ctx))
	}
	d, err := n.door()
	try(t, err)
	defer d.close()

	reads := timed("20 SVIDs", func() {
		for range 20 {
			in := client.MintJWT{SPIFFEID: "spiffe://" + domain + "/a", Audience: []string{"b"}}
			try(t, d.rest.Do(ctx, http.MethodPost, client.Path("svids", "jwt"), nil, in, nil))
		}
	})
	writes := writesOf(t, ctx, d, 12)
	n.stop()
	syncs := <-n.syncs
	try(t, <-n.errs)

	for _, w := range writes {
		if syncsWithin(w, syncs, "log.db") == 0 {
			t.Errorf("%s was acknowledged after %s, and the log was not synced in that time", w.what, w.end-w.begun)
		}
	}
	if len(writes) < 30 {
		t.Errorf("only %d writes were acknowledged", len(writes))
	}
	if of := syncsWithin(reads, syncs, "log.db"); of > 0 {
		t.Errorf("the log was synced %d times for SVIDs, which are not written to it", of)
	}
	t.Logf("%d writes, %d syncs in all", len(writes), len(syncs))
}

// writesOf lets each clerk of a campaign ask for so many things, one after
// another, and returns those that were acknowledged.
func writesOf(t *testing.T, ctx context.Context, d *door, each int) (writes []span) {
	t.Helper()
	c := newCampaign(said{t}, "write", 1, nil)
	found, err := d.records(ctx)
	try(t, err)
	c.compare(found)
	for _, k := range c.clerks {
		for range each {
			r, err := k.next(ctx, d)
			try(t, err)
			k.book.begin(r.chains)
			var answers []answer
			s := timed(k.name+": "+r.what, func() { answers = r.ask(ctx, d) })
			accepted := len(r.chains) > 0
			for i, a := range answers {
				if judge(a.err) == done && len(r.chains) > 0 {
					k.accepted(r, i, a)
				} else {
					accepted = false
				}
			}
			if accepted {
				writes = append(writes, s)
			}
		}
	}
	return writes
}
