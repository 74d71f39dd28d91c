// Command concord runs a node of a trust domain, and is how an operator speaks
// to one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errInterrupted is why a command ended that was told to stop.
var errInterrupted = errors.New("interrupted before it was done")

func main() {
	ctx, interrupt := context.WithCancel(context.Background())
	go obeySignals(interrupt)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// obeySignals ends the command when it is told to, and the process when it is
// told so a second time. It runs as long as the process.
func obeySignals(interrupt context.CancelFunc) {
	signals := make(chan os.Signal, 2) // two count, the first asks and the second does not
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	interrupt()
	again := (<-signals).(syscall.Signal)
	// What the signal does by itself tells the parent why this process ended.
	signal.Reset(again)
	_ = syscall.Kill(os.Getpid(), again)
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	ran, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, new(usageError)):
		fmt.Fprintf(s.err, "concord: %s\nRun '%s --help' for usage.\n", printable(err.Error()), ran.CommandPath())
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errInterrupted
	}
	fmt.Fprintf(s.err, "concord: %s\n", printable(err.Error()))
	return exitFailed
}

// The groups that commands are listed in.
const (
	groupRun    = "run"
	groupDomain = "domain"
	groupNode   = "node"
	groupSelf   = "self"
)

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
		Version:           thisBuild().Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              noArgs,
		RunE:              help,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // ours has examples
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupDomain, Title: "Administer a trust domain:"},
		&cobra.Group{ID: groupNode, Title: "Look after a node:"},
		&cobra.Group{ID: groupSelf, Title: "This program:"},
	)
	addTo(root, groupRun, nodeCommand(), configCommand(), svidCommand())
	addTo(root, groupDomain, entryCommand(), federationCommand(), bundleCommand(), authorityCommand(), agentCommand())
	addTo(root, groupNode, statusCommand(), clusterCommand(), auditCommand(), logLevelCommand())
	addTo(root, groupSelf, completionCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	root.SetHelpCommandGroupID(groupSelf)
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}
