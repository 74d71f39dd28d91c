package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

// Environment variables that name a node's sockets.
const (
	adminSocketVariable    = "CONCORD_SOCKET"
	workloadSocketVariable = "CONCORD_WORKLOAD_SOCKET"
)

func operatorCommands() []*cobra.Command {
	return []*cobra.Command{
		statusCommand(), entryCommand(), bundleCommand(), federationCommand(), authorityCommand(), svidCommand(),
	}
}

// operator is what every command that asks a node has in common.
type operator struct {
	socket string
	output string
	dryRun bool
}

// bind adds the flags. Write verbs get --dry-run.
func (o *operator) bind(c *cobra.Command, writes bool) {
	socket := os.Getenv(adminSocketVariable)
	if socket == "" {
		socket = "concord-data/admin.sock"
	}
	c.Flags().StringVar(&o.socket, "socket", socket, "the node's admin socket ("+adminSocketVariable+")")
	c.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	if writes {
		c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would change, and change nothing")
	}
}

// client returns a client whose requests carry the command's name as cause.
func (o *operator) client(c *cobra.Command) (*client.Client, error) {
	if o.output != "text" && o.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q: choose text or json", o.output)}
	}
	return client.New(o.socket, c.CommandPath()), nil
}

// print writes an answer as JSON, or as text does.
func (o *operator) print(c *cobra.Command, answer any, text func(w io.Writer)) error {
	out := c.OutOrStdout()
	if o.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(answer)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// lines prints one field a line.
func lines(w io.Writer, pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(w, "%v\t%v\n", pairs[i], pairs[i+1])
	}
}

// row prints a line of a table.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		if texts[i] = fmt.Sprint(c); texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}
