package world

import (
	"os"
	"testing"
)

// Main runs the tests of a package and removes what they built. It is what
// TestMain does.
func Main(m *testing.M) {
	code := m.Run()
	removeBuilt()
	os.Exit(code)
}
