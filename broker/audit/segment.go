package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const suffix = ".jsonl"

// asideSuffix is behind the name of a file whose end was cut off: there it is.
const asideSuffix = ".torn"

// segment is one file of the trail. It is named after the log index behind
// which it begins, so that names sort as their records do.
type segment struct {
	path  string
	after uint64
	size  int64 // bytes that are whole lines; what is behind them is being written
}

func segmentPath(dir string, after uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", after, suffix))
}

// listSegments returns the files in dir, the oldest first. Other files are
// somebody else's.
func listSegments(dir string) ([]segment, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the audit trail: %w", err)
	}
	var found []segment
	for _, name := range names {
		digits, ok := strings.CutSuffix(name.Name(), suffix)
		after, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || segmentPath(dir, after) != filepath.Join(dir, name.Name()) {
			continue
		}
		info, err := name.Info()
		if err != nil {
			return nil, fmt.Errorf("list the audit trail: %w", err)
		}
		found = append(found, segment{filepath.Join(dir, name.Name()), after, info.Size()})
	}
	slices.SortFunc(found, func(a, b segment) int { return cmp.Compare(a.after, b.after) })
	return found, nil
}

// errTorn means that a file ends within a line, or has a hole.
var errTorn = fmt.Errorf("%w: the line was not written to its end", ErrDamaged)

// hole is what a line has where the power went before a block of the file was
// on the disk, but not before a later one was. Text has no zero byte, and one
// flipped bit makes no two of them.
var hole = []byte{0, 0}

// place is where a reader is in a segment: behind so many bytes and lines.
type place struct {
	offset int64
	line   int
}

// lines gives each line behind from to each, with the place behind the line.
// It stops at the first error and names file and line in it; a line that was
// not written to its end is errTorn.
func (s segment) lines(from place, each func(l line, behind place) error) (err error) {
	file, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(io.NewSectionReader(file, from.offset, s.size-from.offset), 64<<10)
	for at := from; at.offset < s.size; {
		l, length, err := readLine(in)
		at = place{at.offset + int64(length), at.line + 1}
		if err == nil {
			err = each(l, at)
		}
		if err != nil {
			return fmt.Errorf("%s line %d: %w", s.path, at.line, err)
		}
	}
	return nil
}

// readLine reads one line and says how many bytes it has.
func readLine(in *bufio.Reader) (line, int, error) {
	var text []byte
	for {
		part, err := in.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case len(text) > maxLineBytes:
			return line{}, len(text), fmt.Errorf("%w: a line has more than %d bytes", ErrDamaged, maxLineBytes)
		case err == nil && bytes.Contains(text, hole):
			return line{}, len(text), errTorn
		case err == nil:
			l, err := decode(text)
			return l, len(text), err
		case errors.Is(err, io.EOF):
			return line{}, len(text), errTorn
		case !errors.Is(err, bufio.ErrBufferFull):
			return line{}, len(text), err
		}
	}
}
