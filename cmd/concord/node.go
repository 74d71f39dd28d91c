package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/concord-id/concord/broker/node"
)

func nodeCommand() *cobra.Command {
	group := &cobra.Command{Use: "node", Short: "Run a node of a trust domain", Args: noArgs, RunE: help}
	group.AddCommand(nodeRunCommand())
	return group
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
defaults. SIGTERM and Ctrl-C stop it gracefully; SIGHUP reads the configuration
file again and takes what can be taken while it runs (log-level).`,
		Example: `  concord node run
  concord node run --trust-domain acme.example --refresh-hint 30s
  concord node run --config /etc/concord/concord.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runNode(c, &config, flags, file) },
	}
	c.Flags().StringVar(&file, "config", "", "YAML file whose keys are these flags' names")
	c.Flags().AddFlagSet(flags)
	c.Flags().SortFlags = false
	return c
}

// runNode runs a node to its end.
func runNode(c *cobra.Command, config *node.Config, flags *pflag.FlagSet, file string) error {
	merged, err := configure(*config, flags, file)
	if err != nil {
		return usageError{err}
	}
	ctx := c.Context()
	n, err := node.Start(ctx, node.Options{Config: merged, Version: version, Out: c.OutOrStdout(), Log: c.ErrOrStderr()})
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ended := make(chan error, 1)
	go func() { ended <- n.Wait(ctx) }()
	for {
		select {
		case <-hangups:
			reload(n, *config, flags, file)
		case err := <-ended:
			return errors.Join(err, n.Stop())
		}
	}
}

// reload reads the configuration file again; one that is wrong changes nothing.
func reload(n *node.Node, config node.Config, flags *pflag.FlagSet, file string) {
	merged, err := configure(config, flags, file)
	n.Reload(merged, err)
}

// configure puts flags over the file over the defaults, and checks the result.
func configure(flagged node.Config, flags *pflag.FlagSet, file string) (node.Config, error) {
	if file == "" {
		return flagged, flagged.Validate()
	}
	config, err := loadConfig(file)
	if err != nil {
		return config, err
	}
	onto := nodeFlags(&config)
	flags.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = errors.Join(err, onto.Lookup(f.Name).Value.(pflag.SliceValue).Replace(list.GetSlice()))
			return
		}
		err = errors.Join(err, onto.Set(f.Name, f.Value.String()))
	})
	if err != nil {
		return config, err
	}
	if err := config.Validate(); err != nil {
		return config, fmt.Errorf("%s: %w", file, err)
	}
	return config, nil
}

func configCommand() *cobra.Command {
	group := &cobra.Command{Use: "config", Short: "Look at configuration files", Args: noArgs, RunE: help}
	group.AddCommand(&cobra.Command{
		Use:     "check FILE",
		Short:   "Say what is wrong with a configuration file, by line",
		Example: "  concord config check /etc/concord/concord.yaml",
		Args:    wantArgs("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			if err := config.Validate(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is valid.\n", args[0])
			return err
		},
	})
	return group
}
