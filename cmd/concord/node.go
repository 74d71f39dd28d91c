package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/federation"
)

func nodeCommand() *cobra.Command {
	return group("node", "Run a node of a trust domain", nodeRunCommand())
}

func nodeRunCommand() *cobra.Command {
	config := node.Defaults()
	flags := nodeFlags(&config)
	var file string
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
		RunE: func(c *cobra.Command, _ []string) error { return runNode(c, &config, flags, file) },
	}
	c.Flags().SortFlags = false
	c.Flags().StringVar(&file, "config", "", "YAML file whose keys are these flags' names")
	c.Flags().AddFlagSet(flags)
	choices(c, "bundle-profile", string(federation.HTTPSSPIFFE), string(federation.HTTPSWeb))
	choices(c, "key-type", keyTypes()...)
	choices(c, "key-manager", node.KeysSealed, node.KeysMemory)
	choices(c, "log-level", "debug", "info", "warn", "error")
	choices(c, "log-format", "text", "json")
	return c
}

// runNode runs a node to its end.
func runNode(c *cobra.Command, config *node.Config, flags *pflag.FlagSet, file string) error {
	merged, err := configure(*config, flags, file)
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
	n, err := node.Start(ctx, node.Options{Config: merged, Version: thisBuild().Version, Out: c.OutOrStdout(), Log: c.ErrOrStderr()})
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
			n.Reload(configure(*config, flags, file))
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
