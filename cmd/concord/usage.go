package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// help is what a command does that only groups others.
func help(c *cobra.Command, _ []string) error { return c.Help() }

// group is a command that only groups others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: help}
	c.AddCommand(commands...)
	return c
}

// helpCommand shows the help of the command that is named.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Show the help of a command",
		Example: "  concord help entry create",
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			of, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []cobra.Completion
			for _, child := range commandsOf(of) {
				names = append(names, cobra.CompletionWithDesc(child.Name(), child.Short))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, err := c.Root().Find(args)
			if err != nil {
				return usageError{err}
			}
			if len(rest) > 0 {
				return noArgs(of, rest)
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// commandsOf are the commands below c that a person is told of.
func commandsOf(c *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(c.Commands()), func(child *cobra.Command) bool { return child.Hidden })
}

// noArgs refuses arguments, so that a misspelt command is an error.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasSubCommands() {
		return misused("%s takes no arguments, and got %q", c.CommandPath(), args[0])
	}
	var names []string
	for _, child := range commandsOf(c) {
		names = append(names, child.Name())
	}
	return misused("%q is not a command of %q; %s", args[0], c.CommandPath(), suggestion(args[0], names))
}

// wantArgs asks for exactly these arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) < len(names) {
			return misused("%s is missing: %s", strings.Join(names[len(args):], " "), c.UseLine())
		}
		return misused("%q is one argument too many: %s", args[len(names)], c.UseLine())
	}
}

// optionalArg lets one argument be.
func optionalArg(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misused("%q is one argument too many: %s", args[1], c.UseLine())
	}
	return nil
}

// anyChanged reports whether one of these flags was given.
func anyChanged(c *cobra.Command, flags ...string) bool {
	return slices.ContainsFunc(flags, c.Flags().Changed)
}

// wrongFlag names the flag that was probably meant.
func wrongFlag(c *cobra.Command, err error) error {
	if before := c.Flags().Args(); c.HasSubCommands() && len(before) > 0 {
		return noArgs(c, before) // the flag is that of a command that does not exist
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return usageError{err}
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			names = append(names, "--"+f.Name)
		}
	})
	return misused("--%s is not a flag of %q; %s", unknown.GetSpecifiedName(), c.CommandPath(), suggestion("--"+unknown.GetSpecifiedName(), names))
}

// suggestion is what to say about a name that is not one of names: the
// nearest, or all of them if none is near.
func suggestion(name string, names []string) string {
	if near, d := nearest(name, names); d <= max(2, len(strings.TrimLeft(name, "-"))/2) {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(names) == 1 {
		return "there is only " + names[0]
	}
	return "there are " + strings.Join(names, ", ")
}

// nearest returns the name that takes the fewest edits to become name, and how
// many; the first of several. A name that begins with all that was written
// takes one.
func nearest(name string, names []string) (best string, least int) {
	least = 1 << 30
	for _, n := range names {
		d := edits(name, n)
		if len(name) > 1 && strings.HasPrefix(n, name) {
			d = min(d, 1)
		}
		if d < least {
			best, least = n, d
		}
	}
	return best, least
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
