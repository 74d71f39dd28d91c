package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// file is one that is to be written.
type file struct {
	name string
	text []byte
	mode os.FileMode
}

// The names of what is written; bundleName has one for each trust domain.
const (
	chainName = "svid.pem"
	keyName   = "svid.key"
)

func bundleName(trustDomain string) string { return "bundle." + trustDomain + ".pem" }

func svidWrite() *cobra.Command {
	var w caller
	var dryRun bool
	c := &cobra.Command{
		Use:   "write DIR",
		Short: "Write the default X.509-SVID, its key and each bundle to files",
		Long: `Write svid.pem, svid.key and one bundle file a trust domain (bundle.<name>.pem)
to a directory. Bundles of several trust domains are never put into one file:
who trusts such a file trusts each of them to speak for all.`,
		Example: `  concord svid write /run/web
  concord svid write /run/web --dry-run`,
		Args:              wantArgs("DIR"),
		ValidArgsFunction: arguments(files),
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := fetchX509(c, &w)
			if err != nil {
				return err
			}
			wanted, err := filesOf(answer)
			if err != nil {
				return err
			}
			return writeFiles(c, w.output, args[0], wanted, dryRun)
		},
	}
	w.bind(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say which files would be written, and write none")
	return c
}

func filesOf(answer *workloadapi.X509Context) ([]file, error) {
	chain, key, err := answer.DefaultSVID().Marshal()
	if err != nil {
		return nil, err
	}
	out := []file{{keyName, key, 0o600}, {chainName, chain, 0o644}}
	for _, b := range answer.Bundles.Bundles() {
		out = append(out, file{bundleName(b.TrustDomain().Name()), certificatesPEM(b.X509Authorities()), 0o644})
	}
	return out, nil
}

// written is what was written, as -o json shows it.
type written struct {
	Files  []writtenFile `json:"files"`
	DryRun bool          `json:"dry_run,omitempty"`
}

type writtenFile struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Before string `json:"before,omitempty"` // what the file was
	After  string `json:"after"`            // what it is now
}

// writeFiles writes files to a directory, and tells what each was and is.
func writeFiles(c *cobra.Command, o output, dir string, wanted []file, dryRun bool) error {
	if err := o.check(); err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is not a directory: make it first, with the permissions that a key's directory should have", dir)
	}
	answer := written{Files: []writtenFile{}, DryRun: dryRun}
	for _, f := range wanted {
		path := filepath.Join(dir, f.name)
		answer.Files = append(answer.Files, writtenFile{Path: path, Mode: f.mode.String(), Before: contentOf(path), After: describeFile(f.text)})
		if dryRun {
			continue
		}
		if err := replaceFile(path, f.text, f.mode); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return o.print(c, answer, func(w io.Writer) {
		if dryRun {
			fmt.Fprintln(w, "Dry run: nothing was written.")
		}
		row(w, "FILE", "MODE", "BEFORE", "AFTER")
		for _, f := range answer.Files {
			row(w, f.Path, f.Mode, f.Before, f.After)
		}
	})
}

// contentOf says what a file holds; "" if there is none.
func contentOf(path string) string {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ""
	case err != nil:
		return "not readable"
	}
	return describeFile(text)
}

// describeFile says in short what a file's text is, and nothing that is secret.
func describeFile(text []byte) string {
	if text == nil {
		return "new" // on a dry run
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return fmt.Sprintf("%d bytes", len(text))
	}
	if block.Type != "CERTIFICATE" {
		return "private key"
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "a malformed certificate"
	}
	if !leaf.IsCA {
		return "ends " + when(leaf.NotAfter)
	}
	n := 1
	for block, rest = pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	return count(n, "certificate")
}

// replaceFile writes a file in one step: a reader sees the old or the new one.
func replaceFile(path string, text []byte, mode os.FileMode) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), ".concord-")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // is gone once it was renamed
	defer fresh.Close()           // is closed already if all went well
	if err := fresh.Chmod(mode); err != nil {
		return err
	}
	if _, err := fresh.Write(text); err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
