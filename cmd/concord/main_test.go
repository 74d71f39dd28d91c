package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// runAsProgram makes the test binary be the program, for the tests that need a
// process of their own.
const runAsProgram = "CONCORD_TEST_RUN_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// ran is what a command line left behind.
type ran struct {
	code     int
	out, err string
}

// concord runs a command line in this process.
func concord(ctx context.Context, stdin string, args ...string) ran {
	var out, errOut bytes.Buffer
	code := run(ctx, args, streams{strings.NewReader(stdin), &out, &errOut})
	return ran{code, out.String(), errOut.String()}
}
