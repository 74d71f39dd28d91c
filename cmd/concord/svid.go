package main

import "github.com/spf13/cobra"

func svidCommand() *cobra.Command {
	group := &cobra.Command{Use: "svid", Short: "What this process gets from the Workload API", Args: noArgs, RunE: help}
	return group
}
