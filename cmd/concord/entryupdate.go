package main

import (
	"errors"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

// updateAttempts is how often an update is tried that somebody else's came in
// between of.
const updateAttempts = 5

func entryUpdate() *cobra.Command {
	var o operator
	var f entryFlags
	var add, remove []string
	c := &cobra.Command{
		Use:   "update ID",
		Short: "Change the fields of an entry that are given as flags",
		Long: `Change the fields of an entry that are given as flags; the others stay. A list
replaces the one there was, and an empty one ("--dns=") clears it; to change
whom an entry federates with one by one there are --add-federates-with and
--remove-federates-with.`,
		Example: `  concord entry update 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e --add-federates-with bank.example
  concord entry update 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e --federates-with bank.example,partner.example
  concord entry update 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e --hint internal --expires never --dry-run`,
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.entryIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			patch, err := f.patch(c)
			if err != nil {
				return err
			}
			path, subject := client.Path("entries", args[0]), "entry "+args[0]
			if len(add)+len(remove) == 0 {
				if patch == (client.EntryPatch{}) {
					return misused("give a flag for each field that is to change")
				}
				return change[client.Entry](c, &o, http.MethodPatch, path, nil, patch, "update", subject)
			}
			if patch.FederatesWith != nil {
				return misused("--federates-with names the whole list: give it alone, or --add-federates-with and --remove-federates-with")
			}
			return retried(func() error {
				if err := o.mergeFederatesWith(c, path, &patch, add, remove); err != nil {
					return err
				}
				return change[client.Entry](c, &o, http.MethodPatch, path, nil, patch, "update", subject)
			})
		},
	}
	c.Flags().SortFlags = false
	f.bind(c, &o)
	c.Flags().StringSliceVar(&add, "add-federates-with", nil, "trust domain to federate with as well; repeat for more")
	c.Flags().StringSliceVar(&remove, "remove-federates-with", nil, "trust domain not to federate with any more; repeat for more")
	complete(c, "add-federates-with", o.peers())
	complete(c, "remove-federates-with", o.peers())
	o.bindWrite(c)
	return c
}

// retried repeats an attempt that read what was changed before it was written.
func retried(attempt func() error) error {
	var refused *client.Refused
	for range updateAttempts - 1 {
		if err := attempt(); !errors.As(err, &refused) || refused.Code != "aborted" {
			return err
		}
	}
	return attempt()
}

// mergeFederatesWith makes a patch of the list that the entry has now; it
// holds only for the entry as it is now.
func (o *operator) mergeFederatesWith(c *cobra.Command, path string, patch *client.EntryPatch, add, remove []string) error {
	var now client.Entry
	if err := o.ask(c, http.MethodGet, path, nil, nil, &now); err != nil {
		return err
	}
	domains := append(append([]string{}, now.FederatesWith...), add...)
	slices.Sort(domains)
	domains = slices.DeleteFunc(slices.Compact(domains), func(td string) bool { return slices.Contains(remove, td) })
	patch.FederatesWith, patch.IfRevision = &domains, &now.Revision
	return nil
}

// patch holds the fields whose flags were given.
func (f *entryFlags) patch(c *cobra.Command) (p client.EntryPatch, err error) {
	p.SPIFFEID = given(c, "spiffe-id", f.spiffeID)
	p.ParentID = given(c, "parent-id", f.parent)
	p.Selectors = given(c, "selector", f.selectors)
	p.FederatesWith = given(c, "federates-with", f.federatesWith)
	p.X509TTL = given(c, "x509-svid-ttl", client.Duration(f.x509TTL))
	p.JWTTTL = given(c, "jwt-svid-ttl", client.Duration(f.jwtTTL))
	p.DNSNames = given(c, "dns", f.dnsNames)
	p.Hint = given(c, "hint", f.hint)
	p.Admin = given(c, "admin", f.admin)
	p.Downstream = given(c, "downstream", f.downstream)
	p.StoreSVID = given(c, "store-svid", f.storeSVID)
	expires, err := f.expiresAt()
	p.ExpiresAt = given(c, "expires", expires)
	return p, err
}

// given returns a flag's value, nil if the flag was not given.
func given[T any](c *cobra.Command, flag string, value T) *T {
	if !c.Flags().Changed(flag) {
		return nil
	}
	return &value
}
