package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/federation"
)

func nodeCommand() *cobra.Command {
	return group("node", "Run a node of a trust domain", nodeRunCommand(), nodeJoinCommand())
}

func nodeRunCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Run a node until it is told to stop",
		Long: `Run a node. With nothing configured it is a complete trust domain of its own
under ./concord-data. Flags come before the configuration file, that before the
defaults. SIGTERM and Ctrl-C stop it gracefully, a second one at once; SIGHUP
reads the configuration file again and takes what can be taken while it runs
(log-level).`,
		Example: `  concord node run
  concord node run --trust-domain acme.example --refresh-hint 30s
  concord node run --config /etc/concord/concord.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.flag(c)
	return c
}

func nodeJoinCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "join TOKEN",
		Short: "Join a cluster as a new member, and run",
		Long: `Join the cluster that TOKEN names, and run as one of its members. The token is
made by concord cluster token on a member, for one node name, and is good for one
node: it is used up when this node is admitted. The data directory must be empty.
What the cluster hands over (the key-encryption key, the members' addresses) comes
over a connection that both sides have authenticated by the token.

TOKEN - reads it from standard input, so that it is in no list of processes. Once
it has joined, a node is started with concord node run; joining again with the
same token does no harm.`,
		Example: `  concord node join - --node-name n2
  concord node join concord-join-1.eyJrIjoi --node-name n2 --data-dir /var/lib/concord`,
		Args: wantArgs("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			token, err := argumentOrInput(c, args[0])
			if err != nil {
				return err
			}
			o.join = token
			return o.run(c)
		},
	}
	o.flag(c)
	return c
}

// argumentOrInput returns an argument, or for - the first 64 KiB of standard input.
func argumentOrInput(c *cobra.Command, argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 64<<10))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// runOptions are what a node is run with.
type runOptions struct {
	config node.Config
	flags  *pflag.FlagSet
	file   string
	join   string
}

func (o *runOptions) flag(c *cobra.Command) {
	o.config = node.Defaults()
	o.flags = nodeFlags(&o.config)
	c.Flags().SortFlags = false
	c.Flags().StringVar(&o.file, "config", "", "YAML file whose keys are these flags' names")
	c.Flags().AddFlagSet(o.flags)
	choices(c, "bundle-profile", string(federation.HTTPSSPIFFE), string(federation.HTTPSWeb))
	choices(c, "key-type", keyTypes()...)
	choices(c, "key-manager", node.KeysSealed, node.KeysMemory)
	choices(c, "log-level", "debug", "info", "warn", "error")
	choices(c, "log-format", "text", "json")
}

// run runs a node to its end.
func (o *runOptions) run(c *cobra.Command) error {
	merged, err := configure(o.config, o.flags, o.file)
	if err != nil {
		return usageError{err}
	}
	// Before the node starts: until then a hangup would end the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	// Who reads the log may end: that is no reason to stop issuing.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)

	ctx := c.Context()
	n, err := node.Start(ctx, node.Options{Config: merged, Version: thisBuild().Version, Join: o.join, Out: c.OutOrStdout(), Log: c.ErrOrStderr()})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(c.ErrOrStderr(), "concord: told to stop before it served")
		return nil
	}
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- n.Wait(ctx) }()
	for {
		select {
		case <-hangups:
			n.Reload(configure(o.config, o.flags, o.file))
		case err := <-ended:
			return errors.Join(err, n.Stop())
		}
	}
}

// configure puts flags over the file over the defaults, and checks the result.
func configure(flagged node.Config, flags *pflag.FlagSet, file string) (node.Config, error) {
	given := func(name string) bool { f := flags.Lookup(name); return f != nil && f.Changed }
	if file == "" {
		return flagged, settings{Config: flagged}.validate(given)
	}
	s, err := loadConfig(file)
	if err != nil {
		return s.Config, err
	}
	onto := nodeFlags(&s.Config)
	// Not Visit: that a flag was given, only the command's own set knows.
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = errors.Join(err, onto.Lookup(f.Name).Value.(pflag.SliceValue).Replace(list.GetSlice()))
			return
		}
		err = errors.Join(err, onto.Set(f.Name, f.Value.String()))
	})
	if err != nil {
		return s.Config, err
	}
	return s.Config, s.validate(given)
}
