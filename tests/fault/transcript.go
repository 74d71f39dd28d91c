package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
)

// transcriptBytes is how much of what a process writes is at hand; the log has all.
const transcriptBytes = 32 << 10

// transcript is what one process writes.
type transcript struct {
	out    io.Writer
	mark   *regexp.Regexp
	marked chan struct{} // closed once mark was written

	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if t.mark != nil && t.mark.Match(t.text.Bytes()) {
		t.mark = nil
		close(t.marked)
	}
	if over := t.text.Len() - transcriptBytes; over > 0 {
		t.text.Next(over)
	}
	return t.out.Write(p)
}

// has reports whether one of the last lines has one of the words.
func (t *transcript) has(words ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range words {
		if strings.Contains(t.text.String(), w) {
			return true
		}
	}
	return false
}

// tail returns the last lines.
func (t *transcript) tail(lines int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(strings.TrimSpace(t.text.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
