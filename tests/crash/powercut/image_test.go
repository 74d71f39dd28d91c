package powercut_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/concord-id/concord/tests/crash/powercut"
)

func TestAnImageIsTheDiskAsItWas(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, false)
	image := b.Image()
	b.write("log", "two", 0, true)
	image.Restore(nil)
	if got, err := image.ReadFile("log"); err != nil || string(got) != "one" {
		t.Errorf("the image has %q, %v", got, err)
	}
}

func TestABitIsFlippedInTheNewestFileOfItsName(t *testing.T) {
	disk := powercut.NewDisk()
	if name := disk.Flip("none", "*", 0, 0); name != "" {
		t.Errorf("a bit of %q was flipped on an empty disk", name)
	}
	b := newBench(t)
	b.try(syscall.Mkdir(b.path("dir"), 0o700))
	b.write("dir/a", "aa", 0, true)
	b.write("dir/b", "bb", 0, true)
	image := b.Image()
	if name := image.Flip("dir", "?", 1, 0); name != "b" {
		t.Errorf("a bit of %q was flipped", name)
	}
	for file, want := range map[string]string{"dir/a": "aa", "dir/b": "bc"} {
		if got, err := image.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s has %q, want %q: %v", file, got, want, err)
		}
	}
}

func TestASlowDiskTakesItsTime(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, true)
	b.Slow(powercut.Sync, "log", 30*time.Millisecond)
	begun := time.Now()
	b.write("log", "two", 0, true)
	if took := time.Since(begun); took < 30*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	b.Mend()
}
