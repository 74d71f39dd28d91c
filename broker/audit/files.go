package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// recover reads the newest file, removes what a crash left behind it, and
// opens it for more.
func (t *Trail) recover() error {
	if err := t.dropUnbegun(); err != nil {
		return err
	}
	if len(t.segments) == 0 {
		return t.begin(position{})
	}
	t.first = t.segments[0].after
	last := &t.segments[len(t.segments)-1]
	var whole place
	err := last.lines(place{}, func(l line, behind place) (err error) {
		if t.at, err = t.at.follow(l, behind.line, true); err == nil {
			whole = behind
		}
		return err
	})
	if errors.Is(err, errTorn) {
		err = t.cutOff(last, whole)
	}
	if err != nil {
		return err
	}
	return t.reopen(last.path)
}

// cutOff removes what is behind the last whole line of a file: it comes again
// from the log. It is put aside, because a bad disk makes holes too.
func (t *Trail) cutOff(s *segment, behind place) error {
	aside := s.path + asideSuffix
	t.log.Warn("the end of the audit trail was not on the disk when this node crashed; it is put aside and comes again from the log",
		"file", s.path, "line", behind.line+1, "bytes", s.size-behind.offset, "put_aside", aside)
	content, err := os.ReadFile(s.path)
	if err == nil {
		err = os.WriteFile(aside, content[min(behind.offset, int64(len(content))):], 0o600)
	}
	if err != nil {
		return fmt.Errorf("put the end of the audit trail aside: %w", err)
	}
	s.size = behind.offset
	return os.Truncate(s.path, s.size)
}

// dropUnbegun removes a newest file of which a crash left not even the first line.
func (t *Trail) dropUnbegun() error {
	if len(t.segments) == 0 {
		return nil
	}
	last := t.segments[len(t.segments)-1]
	begun := errors.New("it has a first line")
	err := last.lines(place{}, func(line, place) error { return begun })
	switch {
	case errors.Is(err, begun):
		return nil
	case err != nil && !errors.Is(err, errTorn):
		return err
	}
	t.log.Warn("an audit file that a crash left without its first line is removed", "file", last.path)
	t.segments = t.segments[:len(t.segments)-1]
	if err := os.Remove(last.path); err != nil {
		return fmt.Errorf("remove an audit file that was not begun: %w", err)
	}
	return nil
}

// begin makes a new file after a position.
func (t *Trail) begin(at position) error {
	first, err := encode(line{Segment: &beginning{Format: format, After: at.index, Head: at.head}})
	if err != nil {
		return err
	}
	path := segmentPath(t.dir, at.index)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of the audit trail: %w", err)
	}
	_, err = file.Write(first)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDirectory(t.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin a file of the audit trail: %w", err), file.Close())
	}
	t.file = file
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segments = append(t.segments, segment{path, at.index, int64(len(first))})
	return nil
}

func (t *Trail) reopen(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the audit trail: %w", err)
	}
	t.file = file
	return nil
}

// rotate begins a new file if the next line would make this one too long.
func (t *Trail) rotate(more int64) error {
	last := t.segments[len(t.segments)-1]
	if last.size+more <= t.segmentBytes || last.after == t.at.index {
		return nil // short enough, or without a record yet
	}
	if err := errors.Join(t.Sync(), t.file.Close()); err != nil {
		return err
	}
	return t.begin(t.at)
}

// makePrivate makes dir and gives it to its owner alone, whatever the umask is.
// A power cut does not take its name away.
func makePrivate(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = syncDirectory(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("make the audit trail's directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the audit trail's directory to others: %w", err)
	}
	return nil
}

// syncDirectory makes the names in dir survive a power cut.
func syncDirectory(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
