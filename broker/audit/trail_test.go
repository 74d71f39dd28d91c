package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/state"
)

func TestWhatIsAppendedIsReadBackAsItWas(t *testing.T) {
	all := history(20)
	trail := open(t, kept(t, 0, all...))
	got, err := trail.Query(t.Context(), audit.Filter{})
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, r := range got {
		if string(r.Statement()) != string(all[i].Statement()) || r.Head != all[i].Head || !r.At.Equal(all[i].At) || !slices.Equal(r.Fields, all[i].Fields) {
			t.Errorf("record %d: %+v, want %+v", i, r, all[i])
		}
	}
	wantWhole(t, trail, all)
	if index, head := trail.Position(); index != all[19].Index || head != all[19].Head {
		t.Errorf("it stands at %d", index)
	}
}

func TestAPersonCanReadIt(t *testing.T) {
	dir := kept(t, 0, history(4)...)
	for _, want := range []string{`"actor":"unix:uid=0,pid=0"`, `"cause":"test <&> é"`, `"refused":"not_found"`, `"at":"2026-03-01T12:00:00.0000005Z"`} {
		if content := read(t, segments(t, dir)[0]); !strings.Contains(content, want) {
			t.Errorf("%s does not stand in\n%s", want, content)
		}
	}
}

func TestFilesAreRotatedAndOnlyTheOwnersWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	all := history(50)
	dir := filepath.Join(t.TempDir(), "private", "audit")
	trail := openSized(t, dir, 2000)
	add(t, trail, all...)
	wantWhole(t, trail, all)
	shut(t, trail)
	found := segments(t, dir)
	if len(found) < 5 {
		t.Errorf("%d files", len(found))
	}
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 2000 {
			t.Errorf("%s: %v, %d bytes, %v", path, info.Mode(), info.Size(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	wantWhole(t, openSized(t, dir, 2000), all)
}

func TestWhatComesAgainAfterARestartIsNotWrittenTwice(t *testing.T) {
	all := history(30)
	for _, from := range []int{0, 10, 29} { // the first that the log has behind its snapshot
		dir := kept(t, 2000, all...)
		before := segments(t, dir)
		trail := openSized(t, dir, 2000)
		if from > 0 {
			if err := trail.Restored(all[from-1].Index, all[from-1].Head); err != nil {
				t.Fatal(err)
			}
		}
		add(t, trail, all[from:]...)
		wantWhole(t, trail, all)
		if after := segments(t, dir); len(after) != len(before) {
			t.Errorf("there were %d files and are %d", len(before), len(after))
		}
		more := history(31)[30]
		add(t, trail, more)
		wantWhole(t, trail, append(slices.Clone(all), more))
	}
}

func TestALastLineThatWasCutOffComesAgain(t *testing.T) {
	all := history(5)
	dir := kept(t, 0, all...)
	content := read(t, segments(t, dir)[0])
	before := strings.Join(lines(content)[:5], "") // without the last record
	for cut := len(before); cut < len(content); cut += 7 {
		again := t.TempDir()
		write(t, filepath.Join(again, filepath.Base(segments(t, dir)[0])), content[:cut])
		trail := open(t, again)
		if index, _ := trail.Position(); index != all[3].Index {
			t.Fatalf("cut at %d of %d it stands at %d", cut, len(content), index)
		}
		add(t, trail, all...)
		wantWhole(t, trail, all)
	}
}

// A disk writes blocks in any order: when the power goes, one may be missing
// before others that are there. They come again from the log, and nothing is
// thrown away.
func TestAHoleThatAPowerCutLeftComesAgain(t *testing.T) {
	all := history(6)
	dir := kept(t, 0, all...)
	path := segments(t, dir)[0]
	whole := read(t, path)
	from := len(strings.Join(lines(whole)[:4], "")) + 20 // within the fourth record
	torn := whole[:from] + strings.Repeat("\x00", 100) + whole[from+100:]
	write(t, path, torn)
	report, err := audit.VerifyDir(t.Context(), dir)
	if err != nil || report.Records != 3 || !strings.Contains(report.Break, path+" line 5:") {
		t.Errorf("%+v, %v", report, err)
	}
	trail := open(t, dir)
	if index, _ := trail.Position(); index != all[2].Index {
		t.Fatalf("it stands at %d", index)
	}
	if aside := read(t, path+".torn"); aside != torn[from-20:] {
		t.Errorf("put aside: %q", aside)
	}
	add(t, trail, all...)
	wantWhole(t, trail, all)
}

func TestAFileThatWasNotBegunIsBegunAgain(t *testing.T) {
	all := history(5)
	for _, left := range []string{"", `{"segment":{"format":"conc`} {
		dir := kept(t, 0, all[:4]...)
		write(t, filepath.Join(dir, "00000000000000000009.jsonl"), left)
		trail := open(t, dir)
		add(t, trail, all...)
		wantWhole(t, trail, all)

		alone := t.TempDir() // the very first file
		write(t, filepath.Join(alone, "00000000000000000000.jsonl"), left)
		trail = open(t, alone)
		add(t, trail, all...)
		wantWhole(t, trail, all)
	}
}

func TestWhatDoesNotFollowIsNotWritten(t *testing.T) {
	all := history(6)
	forged := all[3]
	forged.Actor = "somebody else"
	unreadable := all[3]
	unreadable.Actor = "\xff"
	unreadable.Head = state.ChainHead(all[2].Head, unreadable.Statement())
	for _, c := range []struct {
		name   string
		record state.AuditRecord
	}{
		{"one is missing", all[4]},
		{"one was changed", forged},
		{"one that cannot be text", unreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			trail := open(t, t.TempDir())
			add(t, trail, all[:3]...)
			if err := trail.Append(c.record); err == nil {
				t.Error("it was taken")
			}
			wantWhole(t, trail, all[:3])
			add(t, trail, all[3:]...)
			wantWhole(t, trail, all)
		})
	}
}

// The log was put back from an older copy, or the trail was.
func TestATrailThatTellsAnotherStoryThanTheLogIsLoud(t *testing.T) {
	all := history(6)
	other := all[4]
	other.Actor = "somebody else"
	other.Head = state.ChainHead(all[3].Head, other.Statement())
	for _, c := range []struct {
		name string
		meet func(trail *audit.Trail) error
	}{
		{"a record that came before is another one", func(trail *audit.Trail) error {
			return errors.Join(trail.Append(all[3]), trail.Append(other))
		}},
		{"the newest is another one", func(trail *audit.Trail) error {
			newest := all[5]
			newest.Head = other.Head
			return trail.Append(newest)
		}},
		{"a record that the trail never had", func(trail *audit.Trail) error {
			between := all[4]
			between.Index--
			return errors.Join(trail.Append(all[3]), trail.Append(between))
		}},
		{"a snapshot has another head", func(trail *audit.Trail) error { return trail.Restored(all[4].Index, other.Head) }},
		{"the newest snapshot has another head", func(trail *audit.Trail) error { return trail.Restored(all[5].Index, other.Head) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			trail := open(t, kept(t, 0, all...))
			if err := c.meet(trail); !errors.Is(err, audit.ErrDamaged) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
		})
	}
}

func TestRecordsBehindASnapshotAreNotedAsMissing(t *testing.T) {
	all := history(20)
	for _, had := range []int{0, 5} {
		dir := kept(t, 1500, all[:had]...)
		trail := openSized(t, dir, 1500)
		if err := trail.Restored(all[9].Index, all[9].Head); err != nil {
			t.Fatal(err)
		}
		add(t, trail, all[10:]...)
		shut(t, trail)
		again := openSized(t, dir, 1500) // it is written down, not only remembered
		report, err := again.Verify(t.Context())
		after := uint64(0)
		if had > 0 {
			after = all[had-1].Index
		}
		if err != nil || !report.Sound() || report.Whole() || report.Records != had+10 || report.Head != all[19].Head ||
			len(report.Gaps) != 1 || report.Gaps[0].After != after || report.Gaps[0].Until != all[9].Index {
			t.Errorf("%+v, %v", report, err)
		}
		if !strings.Contains(report.String(), "missing: log entries") {
			t.Error(report)
		}
	}
}

func TestASnapshotThatAddsNothingLeavesNoGap(t *testing.T) {
	all := history(3)
	trail := open(t, kept(t, 0, all...))
	// Entries that were no commands came after the last record.
	if err := trail.Restored(all[2].Index+5, all[2].Head); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, trail, all)
}
