package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// leaves are the commands that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var out []*cobra.Command
	for _, child := range commandsOf(c) {
		out = append(out, leaves(child)...)
	}
	return out
}

// writes are the verbs that change something, by their paths.
var writes = []string{
	"agent ban", "agent delete", "authority activate", "authority prepare", "authority revoke", "authority taint",
	"bundle delete", "bundle set", "cluster rekey", "cluster remove", "cluster restore", "cluster token", "cluster transfer", "entry create", "entry delete", "entry update",
	"federation create", "federation refresh", "federation remove", "federation update",
	"log-level reset", "log-level set", "svid mint x509", "svid write",
}

// neither are those that neither read nor write: they run, or print a text
// that has one form.
var neither = []string{"completion", "help", "node join", "node run"}

func pathOf(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), "concord ") }

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range leaves(newRoot()) {
		t.Run(pathOf(c), func(t *testing.T) {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 110 {
				t.Errorf("its short help is %q: one clause, at most 110 bytes, no full stop", c.Short)
			}
			if !strings.Contains(c.Example, "concord "+pathOf(c)) {
				t.Errorf("its example does not show it: %q", c.Example)
			}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" {
					t.Errorf("--%s says nothing", f.Name)
				}
			})
		})
	}
}

func TestEveryReadHasAnOutputAndEveryWriteADryRun(t *testing.T) {
	var found []string
	for _, c := range leaves(newRoot()) {
		path := pathOf(c)
		if slices.Contains(neither, path) {
			continue
		}
		if c.Flags().Lookup("output") == nil || c.Flags().ShorthandLookup("o") == nil {
			t.Errorf("concord %s has no -o", path)
		}
		if c.Flags().Lookup("dry-run") != nil {
			found = append(found, path)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, writes) {
		t.Errorf("these have --dry-run:\n%q\nand these write:\n%q", found, writes)
	}
}

// TestExamplesAreCommandLines reads each example as a shell does and finds the
// command and the flags that it names.
func TestExamplesAreCommandLines(t *testing.T) {
	all := append(leaves(newRoot()), newRoot())
	for _, c := range all {
		text := strings.ReplaceAll(c.Example, "\\\n", " ")
		for line := range strings.Lines(text) {
			_, line, found := strings.Cut(line, "concord ")
			if !found {
				t.Errorf("%s: %q shows no command", c.CommandPath(), line)
				continue
			}
			words, err := shellWords(line)
			if err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			root := newRoot()
			named, args, err := root.Find(words)
			if err != nil || named.HasSubCommands() {
				t.Errorf("%s: %q names no command: %v", c.CommandPath(), line, err)
				continue
			}
			if err := named.ParseFlags(args); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			if err := named.ValidateArgs(named.Flags().Args()); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	}
}
