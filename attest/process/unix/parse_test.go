package unix_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

// statOf is /proc/PID/stat of a process with this name, state and start time.
func statOf(name, state string, started uint64) []byte {
	return fmt.Appendf(nil, "7 (%s) %s 1 7 7 0 -1 4194560 1 0 0 0 1 0 0 0 20 0 9 0 %d 1000 10 1 1 1\n", name, state, started)
}

func TestParseStat(t *testing.T) {
	for name, test := range map[string]struct {
		stat    []byte
		started uint64
		lost    bool
		says    string
	}{
		"running":             {statOf("a", "R", 42), 42, false, ""},
		"name like the rest":  {statOf("a) R 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 666 1", "S", 42), 42, false, ""},
		"name with line ends": {statOf("a\n(", "S", 42), 42, false, ""},
		"zombie":              {statOf("a", "Z", 42), 0, true, "state is Z"},
		"dead":                {statOf("a", "X", 42), 0, true, "state is X"},
		"empty":               {nil, 0, false, "no name"},
		"cut":                 {statOf("a", "S", 42)[:20], 0, false, "too few"},
		"no number":           {[]byte(strings.Replace(string(statOf("a", "S", 42)), " 42 ", " x ", 1)), 0, false, "start time"},
	} {
		t.Run(name, func(t *testing.T) {
			started, err := unix.ParseStat(test.stat)
			if started != test.started || (err == nil) != (test.says == "") || errors.Is(err, attest.ErrProcessLost) != test.lost {
				t.Fatalf("%d, %v", started, err)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("workload", uint64(1))
	f.Add("a) S 1 (b", uint64(1<<63))
	f.Add("\n)\x00", uint64(0))
	f.Fuzz(func(t *testing.T, name string, started uint64) {
		if got, err := unix.ParseStat(statOf(name, "S", started)); err != nil || got != started {
			t.Errorf("a process named %q that started at %d: %d, %v", name, started, got, err)
		}
		unix.ParseStat([]byte(name))
	})
}

func TestParseStatus(t *testing.T) {
	const good = "Name:\tUid:\\nx\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t9 10 \nNSpid:\t7\n"
	uid, gid, groups, err := unix.ParseStatus([]byte(good))
	if uid != 2 || gid != 6 || groups != "9 10" || err != nil {
		t.Errorf("%d, %d, %q, %v; want the effective ones", uid, gid, groups, err)
	}
	for name, test := range map[string]struct{ from, to, says string }{
		"no user":        {"Uid:\t1", "uid:\t1", "lacks"},
		"no groups line": {"Groups:", "groups:", "lacks"},
		"two users":      {"FDSize:\t64", "Uid:\t0\t0\t0\t0", "two lines Uid"},
		"three numbers":  {"\t8\n", "\n", "3 numbers"},
		"negative":       {"\t6\t", "\t-1\t", "line Gid"},
		"beyond 32 bits": {"\t2\t", "\t4294967296\t", "line Uid"},
		"nothing in it":  {good, "", "lacks"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := unix.ParseStatus([]byte(strings.Replace(good, test.from, test.to, 1)))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestParseStatusOfThisProcess(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	uid, gid, _, err := unix.ParseStatus(status)
	if int(uid) != os.Geteuid() || int(gid) != os.Getegid() || err != nil {
		t.Errorf("%d, %d, %v", uid, gid, err)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("workload", uint32(0), uint32(1), "0 1")
	f.Add("Uid:\t0\t0\t0\t0", uint32(4294967295), uint32(0), "")
	f.Fuzz(func(t *testing.T, name string, uid, gid uint32, groups string) {
		escaped := strings.ReplaceAll(name, "\n", `\n`) // as the kernel does
		groups = strings.Join(strings.Fields(groups), " ")
		status := fmt.Sprintf("Name:\t%s\nUid:\t0\t%d\t0\t0\nGid:\t0\t%d\t0\t0\nGroups:\t%s \n", escaped, uid, gid, groups)
		gotUID, gotGID, gotGroups, err := unix.ParseStatus([]byte(status))
		if err != nil || gotUID != uid || gotGID != gid || gotGroups != groups {
			t.Errorf("%q: %d, %d, %q, %v", status, gotUID, gotGID, gotGroups, err)
		}
		unix.ParseStatus([]byte(name))
	})
}

func TestParseAccounts(t *testing.T) {
	const passwd = `root:x:0:0:root:/root:/bin/sh
# comment:x:1:
+nis:x:2:::
-nis:x:3:::
toor:x:0:0:second:/root:/bin/sh
::4:
short:x:5
  padded:x:6:
negative:x:-7:
large:x:4294967296:
last:x:4294967295:`
	names := unix.ParseAccounts([]byte(passwd))
	if len(names) != 3 || names[0] != "root" || names[6] != "padded" || names[4294967295] != "last" {
		t.Errorf("names %v", names)
	}
}

func TestNamesAreThoseOfTheFileNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	names := unix.NamesIn(path)
	for _, test := range []struct{ text, want string }{{"", ""}, {"old:x:7:\n", "old"}, {"new:x:7:\n", "new"}} {
		if test.text != "" {
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if now, err := names(); err != nil || now[7] != test.want {
				t.Errorf("%q: %v, %v", test.text, now, err)
			}
		}
	}
	if now, err := unix.NamesIn(t.TempDir())(); err == nil {
		t.Errorf("a file that cannot be read has names %v", now)
	}
}

func FuzzParseAccounts(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:\n"))
	f.Add([]byte("a:b:c:d\n:::\n+:::\n#"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names := unix.ParseAccounts(text)
		var again []byte
		for id, name := range names {
			if name == "" || strings.ContainsAny(name, ":\n") {
				t.Errorf("name %q", name)
			}
			again = append(again, name+":x:"+strconv.FormatUint(uint64(id), 10)+":\n"...)
		}
		for id, name := range unix.ParseAccounts(again) {
			if names[id] != name {
				t.Errorf("%d is %q, written and read again %q", id, names[id], name)
			}
		}
	})
}
