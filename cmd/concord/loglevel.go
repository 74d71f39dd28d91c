package main

import (
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func logLevelCommand() *cobra.Command {
	return group("log-level", "How much a node logs, until it ends",
		logLevelShow(), logLevelSet(), logLevelReset())
}

func describeLogLevel(w io.Writer, l client.LogLevel) {
	lines(w, "Level", l.Level, "Started with", l.Launch)
}

func logLevelShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show the level, and the one that the node was started with",
		Example: "  concord log-level show",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, &o, client.Path("log-level"), describeLogLevel)
		},
	}
	o.bindRead(c)
	return c
}

func logLevelSet() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "set debug|info|warn|error",
		Short:             "Log what is at this level or above; other nodes are not touched",
		Example:           "  concord log-level set debug",
		Args:              wantArgs("debug|info|warn|error"),
		ValidArgsFunction: arguments(oneOf("debug", "info", "warn", "error")),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.LogLevel](c, &o, http.MethodPut, client.Path("log-level"), nil, client.LogLevel{Level: args[0]}, "set", "the log level")
		},
	}
	o.bindWrite(c)
	return c
}

func logLevelReset() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "reset",
		Short:   "Go back to the level that the node was started with",
		Example: "  concord log-level reset --dry-run",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return change[client.LogLevel](c, &o, http.MethodDelete, client.Path("log-level"), nil, nil, "reset", "the log level")
		},
	}
	o.bindWrite(c)
	return c
}
