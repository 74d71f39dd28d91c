package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/ca"
)

func authorityCommand() *cobra.Command {
	return group("authority", "Signing authorities of this domain, and their life",
		authorityList(), authorityReadiness(), authorityPrepare(), authorityActivate(), authorityTaint(), authorityRevoke())
}

// uses are what authorities are for, as they are written.
var uses = []string{ca.X509.String(), ca.JWT.String()}

// knownUse refuses another use before the node does.
func knownUse(text string) error {
	if !slices.Contains(uses, text) {
		return misused("%q is not a use of an authority: choose x509 or jwt", text)
	}
	return nil
}

func authorityList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "list",
		Short:   "List authorities",
		Example: "  concord authority list\n  concord authority list -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, &o, client.Path("authorities"), func(w io.Writer, all client.Authorities) {
				row(w, "USE", "STATUS", "ID", "KEY", "ENDS", "REMARK")
				slices.SortStableFunc(all.Authorities, inOrderOfLife)
				for _, a := range all.Authorities {
					row(w, a.Use, a.Status, a.ID, a.KeyType, when(a.NotAfter), remark(a))
				}
			})
		},
	}
	o.bindRead(c)
	return c
}

// inOrderOfLife puts what signs now before what will, and that before what did.
func inOrderOfLife(a, b client.Authority) int {
	life := []string{ca.Active.String(), ca.Prepared.String(), ca.Old.String()}
	return cmp.Or(
		cmp.Compare(slices.Index(uses, a.Use), slices.Index(uses, b.Use)),
		cmp.Compare(slices.Index(life, a.Status), slices.Index(life, b.Status)))
}

// remark is what is special about an authority.
func remark(a client.Authority) string {
	switch {
	case a.Exposed && a.Tainted:
		return "tainted: a compromised member could open it"
	case a.Exposed:
		return "exposed: a compromised member could open it, it is replaced"
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

func authorityReadiness() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "readiness [x509|jwt]",
		Short: "Say which prepared authorities may sign now, and from when the others may",
		Long: `Say which prepared authorities may sign now, and from when the others may: what
an authority signs is refused by everybody who has not fetched the bundle since
it was published.`,
		Example:           "  concord authority readiness x509",
		Args:              optionalArg,
		ValidArgsFunction: arguments(oneOf(uses...)),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				if err := knownUse(args[0]); err != nil {
					return err
				}
			}
			var all client.Authorities
			if err := o.ask(c, http.MethodGet, client.Path("authorities"), nil, nil, &all); err != nil {
				return err
			}
			all.Authorities = slices.DeleteFunc(all.Authorities, func(a client.Authority) bool {
				return a.Status != ca.Prepared.String() || len(args) > 0 && a.Use != args[0]
			})
			return o.print(c, all, func(w io.Writer) {
				row(w, "USE", "ID", "READY", "PUBLISHED", "MAY SIGN FROM")
				for _, a := range all.Authorities {
					row(w, a.Use, a.ID, yes(a.Ready), when(a.PreparedAt), when(a.Earliest))
				}
			})
		},
	}
	o.bindRead(c)
	return c
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func authorityPrepare() *cobra.Command {
	var o operator
	var kind string
	c := &cobra.Command{
		Use:               "prepare x509|jwt",
		Short:             "Make the next authority and publish it; it signs nothing yet",
		Example:           "  concord authority prepare x509 --key-type ec-p384",
		Args:              wantArgs("x509|jwt"),
		ValidArgsFunction: arguments(oneOf(uses...)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownUse(args[0]); err != nil {
				return err
			}
			query := url.Values{}
			set(query, "key_type", kind)
			return change[client.Authority](c, &o, http.MethodPost, client.Path("authorities", args[0], "prepare"), query, nil, "prepare", "the next "+args[0]+" authority")
		},
	}
	c.Flags().StringVar(&kind, "key-type", "", "ec-p256, ec-p384, rsa-2048 or rsa-4096 (default: that of the active one)")
	choices(c, "key-type", keyTypes()...)
	o.bindWrite(c)
	return c
}

func keyTypes() (names []string) {
	for _, k := range ca.KeyTypes() {
		names = append(names, string(k))
	}
	return names
}

func authorityActivate() *cobra.Command {
	var o operator
	var force bool
	c := &cobra.Command{
		Use:   "activate x509|jwt ID",
		Short: "Sign by a prepared authority from now on",
		Long: `Sign by a prepared authority from now on; the one before it becomes old and
still vouches for what it signed. Refused until the authority was published for
long enough; the error names the time.`,
		Example:           "  concord authority activate x509 3f2a9c4be01d5f66a7c8d9e0f1a2b3c4d5e6f708 --dry-run",
		Args:              wantArgs("x509|jwt", "ID"),
		ValidArgsFunction: arguments(oneOf(uses...), o.authorityIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{}
			if force {
				query.Set("force", "true")
			}
			return authorityStep(c, &o, "activate", args, query)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for the publication window: peers that have not fetched the bundle will refuse what is signed")
	o.bindWrite(c)
	return c
}

func authorityTaint() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "taint x509|jwt ID",
		Short: "Say that the key of an old or prepared authority may be in other hands",
		Long: `Say that the key of an old or prepared authority may be in other hands:
everything that it signed is replaced at once. The active one cannot be tainted;
concord authority revoke activates the next one first.`,
		Example:           "  concord authority taint x509 3f2a9c4be01d5f66a7c8d9e0f1a2b3c4d5e6f708 --dry-run",
		Args:              wantArgs("x509|jwt", "ID"),
		ValidArgsFunction: arguments(oneOf(uses...), o.authorityIDs()),
		RunE:              func(c *cobra.Command, args []string) error { return authorityStep(c, &o, "taint", args, nil) },
	}
	o.bindWrite(c)
	return c
}

// authorityStep takes an authority one step further.
func authorityStep(c *cobra.Command, o *operator, verb string, args []string, query url.Values) error {
	if err := knownUse(args[0]); err != nil {
		return err
	}
	return change[client.Authority](c, o, http.MethodPost, client.Path("authorities", args[0], args[1], verb), query, nil, verb, args[0]+" authority "+args[1])
}

func authorityRevoke() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "revoke x509|jwt ID",
		Short: "End an authority whose key may be in other hands: what it signed is refused",
		Long: `End an authority whose key may be in other hands, in every step that it takes:
if it is the active one the prepared one is activated at once; it is tainted, so
that what it signed is replaced; then it leaves the bundle.`,
		Example:           "  concord authority revoke x509 3f2a9c4be01d5f66a7c8d9e0f1a2b3c4d5e6f708 --dry-run",
		Args:              wantArgs("x509|jwt", "ID"),
		ValidArgsFunction: arguments(oneOf(uses...), o.authorityIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownUse(args[0]); err != nil {
				return err
			}
			var out client.Steps
			if err := o.ask(c, http.MethodPost, client.Path("authorities", args[0], args[1], "revoke"), o.query(nil), nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) {
				for _, step := range out.Steps {
					printOutcome(w, step.Action, fmt.Sprintf("%s authority %s", args[0], subjectOf(step)), step.Outcome)
				}
				if o.dryRun && len(out.Steps) > 0 {
					fmt.Fprint(w, afterwards[out.Steps[0].Action])
				}
			})
		},
	}
	o.bindWrite(c)
	return c
}

// afterwards are the steps that follow from the first, which is all that a dry
// run can try.
var afterwards = map[string]string{
	"activate": "Then the revoked one would be tainted, and removed.\n",
	"taint":    "Then it would be removed.\n",
}

// subjectOf is the authority that a step was about.
func subjectOf(s client.Step) string {
	for _, a := range []*client.Authority{s.After, s.Before} {
		if a != nil {
			return a.ID
		}
	}
	return ""
}
