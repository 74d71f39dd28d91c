package world

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// together is how many tests run at once: they wait more than they work, for
// disks and for what is sent to them.
const together = 6

// Main runs the tests of a package and removes what they built. It is what
// TestMain does.
func Main(m *testing.M) {
	// A -parallel of the command line comes later and wins.
	if err := flag.Set("test.parallel", fmt.Sprint(together)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	removeBuilt()
	os.Exit(code)
}
