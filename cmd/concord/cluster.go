package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func clusterCommand() *cobra.Command {
	return group("cluster", "The members of this cluster",
		clusterStatus(), clusterToken(), clusterRemove(), clusterRekey(), clusterTransfer(), clusterBackup(), clusterRestore())
}

func clusterStatus() *cobra.Command {
	var o operator
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "How each member is, asked just now, from any member",
		Example: `  concord cluster status
  concord cluster status --watch
  concord cluster status -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for {
				if err := show(c, &o, client.Path("cluster"), printCluster); err != nil || !watch {
					return err
				}
				select {
				case <-time.After(watchInterval):
				case <-c.Context().Done():
					return nil
				}
			}
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every 2 seconds until interrupted")
	o.bindRead(c)
	return c
}

// watchInterval is how often a status that is watched is shown.
const watchInterval = 2 * time.Second

func printCluster(w io.Writer, s client.Cluster) {
	row(w, "MEMBER", "ROLE", "STATE", "APPLIED", "BEHIND", "CONFIRMED", "CLOCK", "PEERS", "DISK FREE", "VERSION", "ADDRESS")
	for _, m := range s.Members {
		if !m.Answers {
			row(w, m.Name, role(m), "no answer", "", "", "", "", "", "", m.Version, m.Address)
			continue
		}
		row(w, m.Name, role(m), memberState(m), m.Applied, m.Lag, span(time.Duration(m.Staleness))+" ago", offset(m), m.Polls, free(m), m.Version, m.Address)
	}
	fmt.Fprintln(w, tolerance(s))
	printKeyCare(w, s.Keys)
	for _, m := range s.Members {
		for _, reason := range m.Reasons {
			fmt.Fprintf(w, "%s: %s\n", m.Name, reason)
		}
		if m.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", m.Name, cell(m.Error))
		}
	}
}

func role(m client.ClusterMember) string {
	switch {
	case m.Leading:
		return "leader"
	case m.Voter:
		return "voter"
	}
	return "learner"
}

func memberState(m client.ClusterMember) string {
	if m.Ready {
		return "ready"
	}
	return "not ready"
}

func offset(m client.ClusterMember) string {
	return fmt.Sprintf("%+.1fs", time.Duration(m.ClockOffset).Seconds())
}

func free(m client.ClusterMember) string {
	if m.DiskSize == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f GiB (%d %%)", float64(m.DiskFree)/(1<<30), m.DiskFree*100/m.DiskSize)
}

// tolerance says how many voters may be lost.
func tolerance(s client.Cluster) string {
	switch {
	case s.Tolerates < 0:
		return "There is no majority: nothing can be changed. Identities are issued until issuance.max-staleness is over."
	case s.Tolerates == 0:
		return "No voter may be lost now."
	}
	return count(s.Tolerates, "voter") + " may be lost now."
}

func clusterToken() *cobra.Command {
	var o operator
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token with which one new node joins",
		Long: `Make a token with which a node named NAME joins this cluster: once, before it
expires. The token is a secret: whoever has it can become a member, and is then
trusted with the domain's keys. It is shown once and kept nowhere.`,
		Example: `  concord cluster token n2
  concord cluster token n2 --ttl 1h -o json`,
		Args: wantArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var out client.Outcome[client.JoinToken]
			if err := o.ask(c, http.MethodPost, client.Path("cluster", "tokens"), o.query(nil), client.NewJoinToken{Name: args[0], TTL: client.Duration(ttl)}, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) {
				if out.DryRun || out.After == nil {
					printOutcome(w, "make", "a join token for "+args[0], out)
					return
				}
				fmt.Fprintf(w, "%s\n\nGood for one node named %s until %s. On its machine:\n  concord node join - --node-name %s <FILE-WITH-THE-TOKEN\n",
					out.After.Token, args[0], when(out.After.ExpiresAt), args[0])
			})
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good (default 10m, at most 24h)")
	o.bindWrite(c)
	return c
}

func clusterRemove() *cobra.Command {
	var o operator
	var compromised, force bool
	c := &cobra.Command{
		Use:   "remove MEMBER",
		Short: "Take a member out of the cluster, for ever",
		Long: `Take a member out, by its name or ID: one that is lost, or that is not needed any
more. Its key is never admitted again; the machine may come back with an empty data
directory and a new token. A member that runs is told, and stops. Then the leader has
a new key-encryption key take the place of the one that the member knows, and seals
the authorities' keys with it: concord cluster status shows when that is done.

With --compromised it is cut off at once, and every authority that it could open is
replaced: one that is prepared is discarded, another is made, signs when the
publication window is over, and the one before it is tainted. With --force the window
is not waited for: partners that have not fetched the bundle since refuse your
workloads' new SVIDs until they do.`,
		Example: `  concord cluster remove n3 --dry-run
  concord cluster remove n3 --compromised
  concord cluster remove n3 --compromised --force`,
		Args:              wantArgs("MEMBER"),
		ValidArgsFunction: arguments(o.memberNames()),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{}
			if compromised {
				query.Set("compromised", "true")
			}
			if force {
				query.Set("force", "true")
			}
			return change[client.RegisteredMember](c, &o, http.MethodDelete, client.Path("cluster", "members", args[0]), query, nil, "remove", "member "+args[0])
		},
	}
	c.Flags().BoolVar(&compromised, "compromised", false, "its key or its disk may be in other hands: it is cut off at once, and the authorities are replaced")
	c.Flags().BoolVar(&force, "force", false, "with --compromised: do not wait for the publication window; partners that have not fetched the bundle refuse new SVIDs until they do")
	o.bindWrite(c)
	return c
}

func clusterTransfer() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "transfer [MEMBER]",
		Short: "Have another member lead",
		Example: `  concord cluster transfer
  concord cluster transfer n2`,
		Args:              optionalArg,
		ValidArgsFunction: arguments(o.memberNames()),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				set(query, "to", args[0])
			}
			return change[client.Leader](c, &o, http.MethodPost, client.Path("cluster", "transfer"), query, nil, "give", "the leadership to another member")
		},
	}
	o.bindWrite(c)
	return c
}
