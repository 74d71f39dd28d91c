package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The floor of a replicated write is the disk: three logs, as each of three
// members has one, to which the same batch is appended and synced at once. It
// is done when two have it. The three share the machine's one disk.

const (
	appendBatch = 64  // commands that go to a log in one write
	appendBytes = 512 // of a command that creates an entry
	logsAtOnce  = 3
	logsEnough  = 2
)

// floorAppend returns how many commands a second become durable.
func floorAppend(ctx context.Context, during time.Duration) (perSecond float64, err error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	done := make(chan error, logsAtOnce<<16) // nobody waits to say how it went
	var logs []chan<- struct{}
	var running sync.WaitGroup
	defer running.Wait()
	for i := range logsAtOnce {
		file, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return 0, err
		}
		turns := make(chan struct{}, 1<<16) // one that lags does not hold up the others
		defer close(turns)
		logs = append(logs, turns)
		running.Go(func() { appendTo(ctx, file, turns, done) })
	}
	begun, commands, owed := time.Now(), 0, 0
	for ; time.Since(begun) < during && err == nil; commands += appendBatch {
		for _, log := range logs {
			log <- struct{}{}
		}
		owed += logsAtOnce
		// What a log lags with is waited for with a later batch, so all of them keep up.
		for ; owed > logsAtOnce-logsEnough && err == nil; owed-- {
			err = <-done
		}
	}
	took := time.Since(begun)
	for ; owed > 0 && err == nil; owed-- {
		err = <-done
	}
	return float64(commands) / took.Seconds(), err
}

// appendTo writes and syncs a batch at each turn, until there are no more.
func appendTo(ctx context.Context, file *os.File, turns <-chan struct{}, done chan<- error) {
	defer file.Close()
	batch := make([]byte, appendBatch*appendBytes)
	for range turns {
		_, err := file.Write(batch)
		done <- errors.Join(err, syscall.Fdatasync(int(file.Fd())), ctx.Err())
	}
}

// floorRead is how long it takes to read and to hash all files under dirs, side by
// side: what was stored must at least be read and checked.
func floorRead(dirs []string) (took time.Duration, bytes int64, err error) {
	begun := time.Now()
	sizes, errs := make([]int64, len(dirs)), make([]error, len(dirs))
	var running sync.WaitGroup
	for i, dir := range dirs {
		running.Go(func() {
			errs[i] = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return err
				}
				file, err := os.Open(path)
				if err != nil {
					return err
				}
				defer file.Close()
				n, err := io.Copy(sha256.New(), file)
				sizes[i] += n
				return err
			})
		})
	}
	running.Wait()
	for _, n := range sizes {
		bytes += n
	}
	return time.Since(begun), bytes, errors.Join(errs...)
}
