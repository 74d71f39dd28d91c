package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func statusCommand() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "status",
		Short: "How the node, its cluster and its trust domain are",
		Example: `  concord status
  concord status -o json --socket /var/lib/concord/admin.sock`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var s client.Status
			if err := api.Do(c.Context(), http.MethodGet, client.Path("status"), nil, nil, &s); err != nil {
				return err
			}
			return o.print(c, s, func(w io.Writer) { printStatus(w, s) })
		},
	}
	o.bind(c, false)
	return c
}

func printStatus(w io.Writer, s client.Status) {
	ready := "yes"
	if !s.Ready {
		ready = "no: " + strings.Join(s.Reasons, "; ")
	}
	role := "follows " + s.Leader
	if s.Leading {
		role = "leads"
	}
	var peers []string
	for _, state := range slices.Sorted(maps.Keys(s.Peers)) {
		peers = append(peers, fmt.Sprintf("%d %s", s.Peers[state], state))
	}
	if len(peers) == 0 {
		peers = []string{"none"}
	}
	lines(w,
		"Trust domain", s.TrustDomain,
		"Node", fmt.Sprintf("%s (%s), up %s", s.Node, s.Version, span(time.Since(s.StartedAt))),
		"Ready", ready,
		"Raft", fmt.Sprintf("%s, %d member(s), index %d, confirmed %s ago", role, len(s.Members), s.Index, span(time.Duration(s.Staleness))),
		"Bundle", fmt.Sprintf("sequence %d, refresh hint %s", s.Sequence, time.Duration(s.Settings.RefreshHint)),
		"Entries", s.Entries,
		"Agents", s.Agents,
		"Peers", strings.Join(peers, ", "),
	)
	for _, name := range slices.Sorted(maps.Keys(s.Addresses)) {
		lines(w, "Listens: "+name, s.Addresses[name])
	}
}
