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
	batch := make([]byte, appendBatch*appendBytes)
	done := make(chan error, logsAtOnce)
	ask := make([]chan struct{}, logsAtOnce)
	var running sync.WaitGroup
	for i := range ask {
		file, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return 0, err
		}
		defer file.Close()
		ask[i] = make(chan struct{}, 1<<16) // one that lags must not hold up the others
		running.Go(func() {
			for range ask[i] {
				_, err := file.Write(batch)
				done <- errors.Join(err, syscall.Fdatasync(int(file.Fd())))
			}
		})
	}
	begun, commands, owed := time.Now(), 0, 0
	for time.Since(begun) < during && ctx.Err() == nil && err == nil {
		for _, log := range ask {
			log <- struct{}{}
		}
		owed += logsAtOnce
		// Whoever lags counts for a later batch, so that all of them keep up.
		for ; owed > logsAtOnce-logsEnough && err == nil; owed-- {
			err = <-done
		}
		commands += appendBatch
	}
	took := time.Since(begun)
	for _, log := range ask {
		close(log)
	}
	for ; owed > 0; owed-- {
		err = errors.Join(err, <-done)
	}
	running.Wait()
	return float64(commands) / took.Seconds(), errors.Join(err, ctx.Err())
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
