package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func agentCommand() *cobra.Command {
	return group("agent", "Agents: hosts that have shown what they are",
		agentList(), agentShow(), agentBan(), agentDelete())
}

const exampleAgent = "spiffe://acme.example/spire/agent/concord/n1"

func agentList() *cobra.Command {
	var o operator
	var method string
	var selectors []string
	var banned bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List agents",
		Example: `  concord agent list
  concord agent list --banned -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{"selector": selectors}
			set(query, "method", method)
			if banned {
				query.Set("banned", "true")
			}
			all := client.Agents{Agents: []client.Agent{}}
			err := pages(c, &o, "agents", query, func(page client.Agents) string {
				all.Agents, all.Index = append(all.Agents, page.Agents...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "ID", "METHOD", "STATE", "VERSION", "ATTESTED")
				for _, a := range all.Agents {
					row(w, a.ID, a.Method, agentState(a), a.Version, when(a.AttestedAt))
				}
			})
		},
	}
	c.Flags().StringVar(&method, "method", "", "only those that attested by this method")
	c.Flags().StringArrayVar(&selectors, "selector", nil, "only those with this selector; repeat for more, they must have all")
	c.Flags().BoolVar(&banned, "banned", false, "only those that are banned")
	o.bindRead(c)
	return c
}

func agentState(a client.Agent) string {
	if a.Banned {
		return "banned"
	}
	return "attested"
}

func agentShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "show ID",
		Short:             "Show an agent",
		Example:           "  concord agent show " + exampleAgent,
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.agentIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c, &o, client.Path("agents", args[0]), func(w io.Writer, a client.Agent) {
				lines(w, "ID", a.ID, "Method", a.Method, "State", agentState(a), "Selectors", strings.Join(a.Selectors, " "),
					"SVID serial", a.CertSerial, "SVID ends", when(a.CertNotAfter), "Attested", when(a.AttestedAt), "Version", a.Version)
			})
		},
	}
	o.bindRead(c)
	return c
}

func agentBan() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "ban ID",
		Short:             "Ban an agent: it gets no identities any more, and cannot attest again until it is deleted",
		Example:           "  concord agent ban " + exampleAgent + " --dry-run",
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.agentIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.Agent](c, &o, http.MethodPost, client.Path("agents", args[0], "ban"), nil, nil, "ban", "agent "+args[0])
		},
	}
	o.bindWrite(c)
	return c
}

func agentDelete() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "delete ID",
		Short:             "Forget an agent, and its ban; it may attest again",
		Example:           "  concord agent delete " + exampleAgent + " --dry-run",
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.agentIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.Agent](c, &o, http.MethodDelete, client.Path("agents", args[0]), nil, nil, "delete", "agent "+args[0])
		},
	}
	o.bindWrite(c)
	return c
}
