package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func clusterRekey() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Have a new key-encryption key take the place of that of now",
		Long: `Have a new key-encryption key made, kept by the members, and all authorities' keys
sealed with it. It waits until that is done, and says which members have the new key; a
member that is away fetches it when it is back. Copies of the key-encryption key that
were made before open nothing that is in the state from then on, but still what is in
backups from before: keep both, and make a new copy.

A key-encryption key that members are given by CONCORD_KEK cannot be changed from here:
start every member, one after another, with the next one in CONCORD_KEK_NEXT too, and
rekey; then start them with that one in CONCORD_KEK alone.`,
		Example: `  concord cluster rekey --dry-run
  concord cluster rekey
  concord cluster rekey -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var out client.Outcome[client.Rekeyed]
			if err := o.ask(c, http.MethodPost, client.Path("cluster", "rekey"), o.query(nil), nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printRekeyed(w, out) })
		},
	}
	o.bindWrite(c)
	return c
}

func printRekeyed(w io.Writer, out client.Outcome[client.Rekeyed]) {
	if out.DryRun || out.After == nil {
		fmt.Fprintln(w, "Dry run: would have a new key-encryption key take the place of that of now; nothing was changed.")
		if out.Before != nil {
			printHolders(w, *out.Before)
		}
		return
	}
	fmt.Fprintf(w, "Done: the authorities' keys are sealed with the key-encryption key %s (index %d).\n", cell(out.After.KEK), out.Index)
	printHolders(w, *out.After)
	fmt.Fprintln(w, "Make a new copy of private/kek, to be kept apart from backups. The one from before opens only backups from before.")
}

func printHolders(w io.Writer, k client.Rekeyed) {
	row(w, "MEMBER", "SEALS WITH", "REMARK")
	for _, m := range k.Members {
		with := k.KEK
		if !m.Has {
			with = "another"
		}
		row(w, m.Name, with, m.Why)
	}
}

// printKeyCare says what is still to be done about the authorities' keys.
func printKeyCare(w io.Writer, k client.KeyCare) {
	if k.KEK != "" {
		since := ""
		if !k.SealedAt.IsZero() {
			since = " since " + when(k.SealedAt)
		}
		fmt.Fprintf(w, "Keys are sealed with the key-encryption key %s%s.\n", cell(k.KEK), since)
	}
	if k.Pending {
		fmt.Fprintf(w, "A new key-encryption key is still to take its place: %s.\n", whyPending(k))
	}
	for _, t := range k.Turning {
		fmt.Fprintf(w, "A compromised member could open %s authority %s, which is %s: %s.\n", cell(t.Use), cell(t.ID), cell(t.Status), nextStep(t, k.AtOnce))
	}
	if k.Trouble != "" {
		fmt.Fprintf(w, "The leader waits: %s\n", cell(k.Trouble))
	}
}

func whyPending(k client.KeyCare) string {
	var why []string
	if k.Asked {
		why = append(why, "it was asked for")
	}
	if len(k.Removed) > 0 {
		why = append(why, strings.Join(k.Removed, ", ")+" was removed and knows this one")
	}
	return cell(strings.Join(why, "; "))
}

// nextStep is what becomes of an exposed authority.
func nextStep(t client.TurningAuthority, atOnce bool) string {
	switch {
	case t.Next != "" && !atOnce:
		return cell(t.Next) + " takes its place from " + when(t.Earliest)
	case t.Status == "active":
		return "another takes its place"
	case t.Status == "prepared":
		return "it is discarded"
	}
	return "it is tainted now"
}
