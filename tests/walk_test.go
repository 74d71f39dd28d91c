package tests

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheOperatorsGuideWorksCommandByCommand types the commands of
// docs/operating.md into a shell, in their order, and compares what they print
// with what the guide shows. In the guide "…" stands for anything, and a line
// of it alone for any lines; times, IDs and the like are not compared.
func TestTheOperatorsGuideWorksCommandByCommand(t *testing.T) {
	const guide = "../docs/operating.md"
	steps := readSteps(t, guide)
	if len(steps) < 40 {
		t.Fatalf("%s has only %d commands in blocks marked console", guide, len(steps))
	}
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the guide uses %s, which is not installed here", tool)
		}
	}
	s := startShell(t, concord(t))
	ports := ports{}
	for _, step := range steps {
		printed, err := s.run(ports.free(t, step.command))
		if err != nil {
			t.Fatalf("%s:%d: $ %s\n%v\nprinted so far:\n%s", guide, step.line, step.command, err, printed)
		}
		printed = ports.documented(printed)
		if !expected(step.output).MatchString(plain(printed)) {
			t.Errorf("%s:%d: $ %s\nprints\n%s\nthe guide shows\n%s", guide, step.line, step.command, indented(printed), indented(step.output))
		}
	}
}

// step is a command and what it prints.
type step struct {
	line    int
	command string // may have several lines
	output  string
}

// readSteps finds the blocks marked console: "$ " begins a command, "> " goes
// on with it, anything else is output.
func readSteps(t *testing.T, page string) []step {
	t.Helper()
	var all []step
	inside := false
	for n, line := range lines(t, page) {
		switch {
		case !inside:
			inside = line == "```console"
		case line == "```":
			inside = false
		case strings.HasPrefix(line, "$ "):
			all = append(all, step{line: n + 1, command: line[2:]})
		case len(all) == 0:
			t.Fatalf("%s:%d: output of no command", page, n+1)
		case line == ">" || strings.HasPrefix(line, "> "):
			all[len(all)-1].command += "\n" + strings.TrimPrefix(line[1:], " ")
		default:
			all[len(all)-1].output += line + "\n"
		}
	}
	return all
}

// Each command of the guide ends soon; under the race detector's neighbours,
// on a machine that is busy, it may take longer.
const patience = 60 * time.Second

// shell is a bash that is given one command after another.
type shell struct {
	in    io.Writer
	lines chan string // closed when the shell ends
}

// startShell starts a shell in a directory of its own, with concord in its PATH.
func startShell(t *testing.T, binary string) *shell {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := binary[:strings.LastIndex(binary, "/")]
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
	// The nodes that the shell starts are in its process group, and end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	s := &shell{in: in, lines: make(chan string)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			s.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // it was killed
		out.Close()
		for range s.lines { // let the reader end
		}
		<-done
	})
	return s
}

// endOfCommand cannot be in what a command prints.
const endOfCommand = "\x01done"

// run gives the shell a command and returns what it printed.
func (s *shell) run(command string) (printed string, err error) {
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n\\001done\\n'\n", command); err != nil {
		return "", fmt.Errorf("the shell has ended: %w", err)
	}
	timeout := time.After(patience)
	for {
		select {
		case line, open := <-s.lines:
			if !open {
				return printed, fmt.Errorf("the shell has ended")
			}
			if line == endOfCommand {
				return strings.TrimSuffix(printed, "\n"), nil
			}
			printed += line + "\n"
		case <-timeout:
			return printed, fmt.Errorf("no end after %s", patience)
		}
	}
}

// ports are those of the guide and those that are free here.
type ports map[string]string

var loopback = regexp.MustCompile(`127\.0\.0\.1:(\d{4,5})`)

// free puts free ports in the place of the guide's.
func (p ports) free(t *testing.T, command string) string {
	t.Helper()
	return loopback.ReplaceAllStringFunc(command, func(address string) string {
		documented := loopback.FindStringSubmatch(address)[1]
		if p[documented] == "" {
			p[documented] = freePort(t)
		}
		return "127.0.0.1:" + p[documented]
	})
}

// documented is the other way round.
func (p ports) documented(printed string) string {
	for documented, free := range p {
		printed = strings.ReplaceAll(printed, "127.0.0.1:"+free, "127.0.0.1:"+documented)
	}
	return printed
}

// freePort returns a port that nobody listens on, below those that the kernel
// gives to outgoing connections: nobody takes it before the node does.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(12_000 + rand.IntN(18_000))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no free port among 100")
	return ""
}

// unlike are the parts of the output that are different each time.
var unlike = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{16,}\b`), "HEX"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(ns|µs|ms|s|min|h|d)\b( \d+ (min|s)\b)?`), "SPAN"},
	{regexp.MustCompile(`\b\d\.\d+e\+\d+\b`), "NUMBER"},
	{regexp.MustCompile(`\b1[0-9]{9}\b`), "SEQUENCE"},
	{regexp.MustCompile(`\b(uid|gid|pid)[:=]\d+`), "$1=N"},
	{regexp.MustCompile(`\bindex"?:? \d+`), "index N"},
	{regexp.MustCompile(`\b\d+ records\b`), "N records"},
	{regexp.MustCompile(`(?m)^\d+  `), "N  "}, // the index of a record
	{regexp.MustCompile(`\b(user|group):[\w-]+`), "$1:NAME"},
	{regexp.MustCompile(`(?m)[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}

// plain takes out of a text what is different each time. Its lines all have an
// end.
func plain(text string) string {
	for _, u := range unlike {
		text = u.pattern.ReplaceAllString(text, u.as)
	}
	return strings.TrimSpace(text) + "\n"
}

// expected is the pattern of an output as the guide shows it.
func expected(output string) *regexp.Regexp {
	var pattern strings.Builder
	for line := range strings.Lines(plain(output)) {
		if line == "…\n" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern.WriteString(strings.Join(parts, ".*"))
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`)
}

func TestTheOperatorsGuideNamesEverySetting(t *testing.T) {
	guide := read(t, "../docs/operating.md")
	for name := range nodeRunFlags(t) {
		if name != "help" && name != "config" && !strings.Contains(guide, "`"+name+"`") {
			t.Errorf("docs/operating.md does not name the setting %s", name)
		}
	}
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
