package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

// completionPatience bounds how long a shell's Tab key waits for a node.
const completionPatience = 700 * time.Millisecond

func completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command, *cobra.Command) error{
		"bash":       func(c, root *cobra.Command) error { return root.GenBashCompletionV2(c.OutOrStdout(), true) },
		"zsh":        func(c, root *cobra.Command) error { return root.GenZshCompletion(c.OutOrStdout()) },
		"fish":       func(c, root *cobra.Command) error { return root.GenFishCompletion(c.OutOrStdout(), true) },
		"powershell": func(c, root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(c.OutOrStdout()) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that makes a shell complete commands, flags, and what a node has",
		Long: `Print a script that makes a shell complete commands and flags. The IDs of
entries, agents and authorities and the names of trust domains are asked of the
node (--socket or CONCORD_SOCKET); one that does not answer at once is left alone.`,
		Example: `  source <(concord completion bash)
  concord completion zsh > "${fpath[1]}/_concord"
  concord completion fish > ~/.config/fish/completions/concord.fish`,
		Args:      wantArgs("bash|zsh|fish|powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			script, ok := shells[args[0]]
			if !ok {
				return misused("%q is not a shell that is known here: choose bash, zsh, fish or powershell", args[0])
			}
			return script(c, c.Root())
		},
	}
}

// choices says what values a flag has.
func choices(c *cobra.Command, flag string, values ...string) {
	complete(c, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// complete says how a flag's value is completed.
func complete(c *cobra.Command, flag string, by cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic(err) // the flag is not there: a mistake in this program
	}
}

// arguments completes each argument in its own way, and none behind them.
func arguments(by ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(by) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by[len(args)](c, args, typed)
	}
}

// oneOf completes one of a few words.
func oneOf(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// files leaves an argument to the shell.
func files(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// live completes from the first page of a listing. What keeps the node from
// answering is not told: a person who presses Tab has not asked for an error.
func live[T any](o *operator, resource string, query url.Values, each func(args []string, page T) []cobra.Completion) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		var page T
		if o.client(c).Do(ctx, http.MethodGet, client.Path(resource), query, nil, &page) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each(args, page), cobra.ShellCompDirectiveNoFileComp
	}
}

func (o *operator) entryIDs() cobra.CompletionFunc {
	return live(o, "entries", nil, func(_ []string, page client.Entries) (out []cobra.Completion) {
		for _, e := range page.Entries {
			out = append(out, cobra.CompletionWithDesc(e.ID, e.SPIFFEID))
		}
		return out
	})
}

func (o *operator) peers() cobra.CompletionFunc {
	return live(o, "federation", nil, func(_ []string, page client.Relationships) (out []cobra.Completion) {
		for _, r := range page.Relationships {
			out = append(out, cobra.CompletionWithDesc(r.TrustDomain, r.URL))
		}
		return out
	})
}

func (o *operator) bundles() cobra.CompletionFunc {
	return live(o, "bundles", nil, func(_ []string, page client.Bundles) (out []cobra.Completion) {
		for _, b := range page.Bundles {
			out = append(out, cobra.CompletionWithDesc(b.TrustDomain, b.Origin))
		}
		return out
	})
}

func (o *operator) agentIDs() cobra.CompletionFunc {
	return live(o, "agents", nil, func(_ []string, page client.Agents) (out []cobra.Completion) {
		for _, a := range page.Agents {
			out = append(out, cobra.CompletionWithDesc(a.ID, a.Method))
		}
		return out
	})
}

// memberNames completes the members of the cluster.
func (o *operator) memberNames() cobra.CompletionFunc {
	return live(o, "cluster", nil, func(_ []string, s client.Cluster) (out []cobra.Completion) {
		for _, m := range s.Members {
			out = append(out, cobra.CompletionWithDesc(m.Name, m.Address))
		}
		return out
	})
}

// authorityIDs completes the authorities of the use that stands before.
func (o *operator) authorityIDs() cobra.CompletionFunc {
	return live(o, "authorities", nil, func(args []string, all client.Authorities) (out []cobra.Completion) {
		for _, a := range all.Authorities {
			if len(args) == 0 || a.Use == args[0] {
				out = append(out, cobra.CompletionWithDesc(a.ID, a.Status))
			}
		}
		return out
	})
}
