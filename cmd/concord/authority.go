package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func authorityCommand() *cobra.Command {
	group := &cobra.Command{Use: "authority", Short: "Signing authorities of this domain, and their life", Args: noArgs, RunE: help}
	group.AddCommand(authorityList(), authorityPrepare(),
		authorityStep("activate", "Sign by a prepared authority from now on",
			`Sign by a prepared authority from now on; the one before it becomes old and
still vouches for what it signed. Refused until the authority was published for
long enough; the error names the time.`),
		authorityStep("taint", "Say that the key of an old or prepared authority may be in other hands",
			`Say that the key of an old or prepared authority may be in other hands:
everything that it signed is replaced at once.`),
		authorityRevoke())
	return group
}

func authorityList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: "list", Short: "List authorities", Args: noArgs,
		Example: "  concord authority list",
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var all client.Authorities
			if err := api.Do(c.Context(), http.MethodGet, client.Path("authorities"), nil, nil, &all); err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "USE", "STATUS", "ID", "KEY", "ENDS", "")
				for _, a := range all.Authorities {
					row(w, a.Use, a.Status, a.ID, a.KeyType, when(a.NotAfter), remark(a))
				}
			})
		},
	}
	o.bind(c, false)
	return c
}

// remark is what is special about an authority.
func remark(a client.Authority) string {
	switch {
	case a.Tainted:
		return "tainted"
	case a.Ready:
		return "may be activated now"
	case !a.Earliest.IsZero():
		return "may be activated " + when(a.Earliest)
	case !a.VouchesUntil.IsZero():
		return "vouches until " + when(a.VouchesUntil)
	}
	return ""
}

func authorityPrepare() *cobra.Command {
	var o operator
	var kind string
	c := &cobra.Command{
		Use:     "prepare x509|jwt",
		Short:   "Make the next authority and publish it; it signs nothing yet",
		Example: "  concord authority prepare x509 --key-type ec-p384",
		Args:    wantArgs("x509|jwt"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			query := o.query()
			set(query, "key_type", kind)
			var out client.Outcome[client.Authority]
			if err := api.Do(c.Context(), http.MethodPost, client.Path("authorities", args[0], "prepare"), query, nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "prepare", "the next "+args[0]+" authority", out) })
		},
	}
	c.Flags().StringVar(&kind, "key-type", "", "ec-p256, ec-p384, rsa-2048 or rsa-4096 (default: that of the active one)")
	o.bind(c, true)
	return c
}

// authorityStep is a command that takes an authority one step further.
func authorityStep(verb, short, long string) *cobra.Command {
	var o operator
	var force bool
	c := &cobra.Command{
		Use: verb + " x509|jwt ID", Short: short, Long: long, Args: wantArgs("x509|jwt", "ID"),
		Example: fmt.Sprintf("  concord authority %s x509 3f2a… --dry-run", verb),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			query := o.query()
			if force {
				query.Set("force", "true")
			}
			var out client.Outcome[client.Authority]
			if err := api.Do(c.Context(), http.MethodPost, client.Path("authorities", args[0], args[1], verb), query, nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, verb, args[0]+" authority "+args[1], out) })
		},
	}
	if verb == "activate" {
		c.Flags().BoolVar(&force, "force", false, "do not wait for the publication window: peers that have not fetched the bundle will refuse what is signed")
	}
	o.bind(c, true)
	return c
}

func authorityRevoke() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "revoke x509|jwt ID",
		Short: "End an authority whose key may be in other hands: what it signed is refused",
		Long: `End an authority whose key may be in other hands, in every step that it takes:
if it is the active one the prepared one is activated at once; it is tainted, so
that what it signed is replaced; then it leaves the bundle.`,
		Example: "  concord authority revoke x509 3f2a… --dry-run",
		Args:    wantArgs("x509|jwt", "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var out client.Steps
			if err := api.Do(c.Context(), http.MethodPost, client.Path("authorities", args[0], args[1], "revoke"), o.query(), nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) {
				for _, step := range out.Steps {
					printOutcome(w, step.Action, args[0]+" authority", step.Outcome)
				}
			})
		},
	}
	o.bind(c, true)
	return c
}
