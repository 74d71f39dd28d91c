package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=v1.2.3".
// Otherwise it is what the Go tool has written into the program.
var version string

// build says what this program was built from, as -o json shows it.
type build struct {
	Version     string `json:"version"`
	Commit      string `json:"commit,omitempty"`
	CommittedAt string `json:"committed_at,omitempty"` // RFC 3339
	Modified    bool   `json:"modified,omitempty"`     // there were changes that are not in the commit
	Go          string `json:"go"`
	Platform    string `json:"platform"`
}

// thisBuild reads what is written in the program itself.
func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.CommittedAt = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	return b
}

func versionCommand() *cobra.Command {
	var o output
	c := &cobra.Command{
		Use:     "version",
		Short:   "Say what this program was built from",
		Example: "  concord version\n  concord version -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := thisBuild()
			return o.print(c, b, func(w io.Writer) {
				fmt.Fprintf(w, "concord %s\n", b.Version)
				commit := b.Commit
				if b.Modified {
					commit += " with changes"
				}
				lines(w, "Commit", commit, "Committed", b.CommittedAt, "Go", b.Go, "Platform", b.Platform)
			})
		},
	}
	o.bind(c)
	return c
}
