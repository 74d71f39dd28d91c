package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// worn is a data directory that has been used: a snapshot, a log that goes on
// behind it, and a node that was stopped.
func worn(t *testing.T, ctx context.Context) (dir string, records map[string]string) {
	t.Helper()
	ground := solid(shortDir(t))
	c := newCampaign(said{t}, "kill", 1, ground, snapping(t))
	try(t, c.live(ctx, c.afterAcknowledged(80)))
	c.programs[0] = shipped(t)
	try(t, c.live(ctx, c.afterAcknowledged(80)))
	try(t, c.finish(ctx))
	try(t, c.sum())
	dir, err := ground.lay()
	try(t, err)
	records = map[string]string{}
	for _, k := range c.clerks {
		for name, value := range k.book.kept {
			records[name] = value
		}
	}
	return dir, records
}

// the returns the one file that a pattern below dir means, or the last of
// several by name.
func the(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no %s in %s: %v", pattern, dir, err)
	}
	return found[len(found)-1]
}

// behind finds the places in content right behind words.
func behind(words string) func([]byte) []int {
	return func(content []byte) (places []int) {
		for from := 0; ; {
			at := bytes.Index(content[from:], []byte(words))
			if at < 0 {
				return places
			}
			from += at + len(words)
			places = append(places, from)
		}
	}
}

// part is the byte at a part of the way through.
func part(of float64) func([]byte) []int {
	return func(content []byte) []int { return []int{int(of * float64(len(content)-1))} }
}

// flipped returns a copy of a data directory with one bit of a file turned
// over, in each place where what is meant stands: a page that is free now may
// hold it too.
func flipped(t *testing.T, dir, file string, places func([]byte) []int, bit uint) (again, path string) {
	t.Helper()
	again = copied(t, dir)
	path = the(t, again, file)
	content, err := os.ReadFile(path)
	try(t, err)
	at := places(content)
	if len(at) == 0 {
		t.Fatalf("what should be damaged does not stand in %s", file)
	}
	for _, at := range at {
		content[at] ^= 1 << bit
	}
	try(t, os.WriteFile(path, content, 0o600))
	return again, path
}

func TestAFlippedBitIsLoudAndNeverServed(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	dir, _ := worn(t, ctx)
	const snapshot, log, trail = "private/raft/snapshots/*.snapshot", "private/raft/log.db", "private/audit/*.jsonl"
	for _, c := range []struct {
		name, file string
		places     func(content []byte) []int
		words      string // beside the file's name, or its directory's
	}{
		{"the key-encryption key", "private/kek", part(0.5), "key-encryption key"},
		{"the node's key", "private/raft/node.key", part(0.3), "put back the node's key"},
		{"the node's key, where nobody reads it", "private/raft/node.key", part(0.7), "put back the node's key"},
		{"the first line of the snapshot", snapshot, part(0.0001), "snapshot"},
		{"the state in the snapshot", snapshot, part(0.5), "the data is damaged"},
		{"the checksum of the snapshot", snapshot, part(1), "the data is damaged"},
		{"a command in the log", log, behind("spiffe://" + domain + "/anna-"), "the data is damaged"},
		{"the term in the stable store", log, behind("CurrentTerm"), "the data is damaged"},
		{"the vote in the stable store", log, behind("LastVoteCand"), "the data is damaged"},
		{"a record of the audit trail", trail, func(b []byte) []int { return behind(`"actor":"`)(b)[3:4] }, "line 5"},
		{"the first line of the audit trail", trail, behind(`"segment":{"format":"`), "line 1"},
		{"the end of a line of the audit trail", trail, func(b []byte) []int { return behind("}")(b)[6:7] }, "the audit trail is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			again, path := flipped(t, dir, c.file, c.places, 2)
			p, err := start(shipped(t), again)
			try(t, err)
			defer p.kill()
			select {
			case <-p.ended:
				loud(t, p.code(), p.log.String(), filepath.Dir(path), c.words)
			case <-p.up:
				t.Errorf("it serves; its log ends with\n%s", tail(p.log.String(), 10))
			case <-ctx.Done():
				t.Fatal(context.Cause(ctx))
			}
		})
	}
}

// Wherever a bit turns over: the node shows what was acknowledged, or it ends
// with an error that says where it met what cannot be.
func TestAFlippedBitAnywhereIsNeverServed(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	dir, records := worn(t, ctx)
	random := rand.New(rand.NewPCG(5, 6))
	noticed := 0
	const flips = 16
	for n := range flips {
		file := []string{"private/raft/log.db", "private/raft/snapshots/*.snapshot", "private/audit/*.jsonl", "private/raft/node.key"}[n%4]
		again, path := flipped(t, dir, file, part(random.Float64()), uint(random.IntN(8)))
		p, err := start(shipped(t), again)
		try(t, err)
		defer p.kill()
		select {
		case <-p.ended:
			noticed++
			if p.code() == 0 || !strings.Contains(p.log.String(), filepath.Dir(path)) {
				t.Errorf("%s: it ended with exit code %d:\n%s", file, p.code(), tail(p.log.String(), 10))
			}
		case <-p.up:
			d, err := p.door()
			try(t, err)
			found, err := d.records(ctx)
			try(t, errors.Join(err, d.close()))
			for name := range union(found, records) {
				// The node may have prepared an authority since.
				if found[name] != records[name] && !(records[name] == "" && found[name] == "prepared") {
					t.Errorf("%s: %s is served as %q and was %q", file, name, found[name], records[name])
				}
			}
			p.kill()
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
	t.Logf("%d of %d were noticed, the others changed nothing", noticed, flips)
}
