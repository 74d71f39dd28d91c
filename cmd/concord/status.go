package main

import (
	"fmt"
	"io"
	"maps"
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
			return show(c, &o, client.Path("status"), printStatus)
		},
	}
	o.bindRead(c)
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
		"Raft", fmt.Sprintf("%s, %s, index %d, confirmed %s ago", role, count(len(s.Members), "member"), s.Index, span(time.Duration(s.Staleness))),
		"Bundle", fmt.Sprintf("sequence %d, refresh hint %s", s.Sequence, span(time.Duration(s.Settings.RefreshHint))),
		"Entries", s.Entries,
		"Agents", s.Agents,
		"Peers", strings.Join(peers, ", "),
		"SVIDs live", fmt.Sprintf("X.509 %s, JWT %s", span(time.Duration(s.Settings.X509TTL)), span(time.Duration(s.Settings.JWTTTL))),
		"Authorities live", fmt.Sprintf("%s, intermediates %s", span(time.Duration(s.Settings.RootTTL)), span(time.Duration(s.Settings.IntermediateTTL))),
		"Keys are published", publication(s.Settings),
	)
	for _, name := range slices.Sorted(maps.Keys(s.Addresses)) {
		lines(w, "Listens: "+name, s.Addresses[name])
	}
}

// publication is how long a key is published before it signs.
func publication(s client.Settings) string {
	if s.PublicationWindow < 0 {
		return "3 × the largest refresh hint served, before they sign"
	}
	return span(time.Duration(s.PublicationWindow)) + " before they sign"
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
