// Command concord runs a node of a trust domain, and is how an operator speaks
// to one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = "dev"

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, out, errOut *os.File) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(errOut, "concord: %v\n", err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(errOut, "Run '%s --help' for usage.\n", ran.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "concord",
		Short: "A SPIFFE federation gateway and trust-bundle broker",
		Long: `Concord runs a SPIFFE trust domain and connects it with others: it issues
X.509- and JWT-SVIDs to workloads, publishes this domain's bundle, follows the
bundles of peers, and pushes each workload the bundles that it is entitled to.`,
		Example: `  concord node run --trust-domain acme.example
  concord entry create --spiffe-id spiffe://acme.example/web --selector unix:uid:1000
  concord federation create bank.example --url https://bank.example:8443 \
      --profile https_spiffe --endpoint-id spiffe://bank.example/spire/server --bundle bank.json`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          help,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(nodeCommand(), configCommand())
	root.AddCommand(operatorCommands()...)
	return root
}

// help is what a command does that only groups others.
func help(c *cobra.Command, _ []string) error { return c.Help() }

// noArgs refuses arguments, so that a misspelt command is an error.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%q is not a command of %q", args[0], c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usageError{errors.New(text)}
}

// wantArgs asks for exactly these arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("got %d arguments, want %d: %s", len(args), len(names), c.UseLine())}
		}
		return nil
	}
}
