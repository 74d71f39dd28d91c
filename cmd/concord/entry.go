package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func entryCommand() *cobra.Command {
	return group("entry", "Registration entries: who is which workload",
		entryCreate(), entryList(), entryShow(), entryUpdate(), entryDelete())
}

func entryCreate() *cobra.Command {
	var o operator
	var f entryFlags
	var id string
	c := &cobra.Command{
		Use:   "create",
		Short: "Create an entry",
		Example: `  concord entry create --spiffe-id spiffe://acme.example/web --selector unix:user:www-data
  concord entry create --spiffe-id spiffe://acme.example/api --selector unix:path:/usr/bin/api \
      --federates-with bank.example --x509-svid-ttl 30m --dry-run`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.spiffeID == "" || len(f.selectors) == 0 {
				return misused("give --spiffe-id and at least one --selector")
			}
			entry, err := f.entry()
			if err != nil {
				return err
			}
			entry.ID = id
			return change[client.Entry](c, &o, http.MethodPost, client.Path("entries"), nil, entry, "create", "entry for "+f.spiffeID)
		},
	}
	c.Flags().SortFlags = false
	f.bind(c, &o)
	c.Flags().StringVar(&id, "id", "", "the entry's ID (default: a random UUID)")
	o.bindWrite(c)
	return c
}

func entryList() *cobra.Command {
	var o operator
	var spiffeID, parent, hint string
	var selectors, federatesWith []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List entries",
		Example: `  concord entry list
  concord entry list --selector unix:uid:1000
  concord entry list --federates-with bank.example -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{"selector": selectors, "federates_with": federatesWith}
			set(query, "spiffe_id", spiffeID)
			set(query, "parent_id", parent)
			set(query, "hint", hint)
			all := client.Entries{Entries: []client.Entry{}}
			err := pages(c, &o, "entries", query, func(page client.Entries) string {
				all.Entries, all.Index = append(all.Entries, page.Entries...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "ID", "SPIFFE ID", "SELECTORS", "FEDERATES WITH", "EXPIRES")
				for _, e := range all.Entries {
					row(w, e.ID, e.SPIFFEID, strings.Join(e.Selectors, " "), strings.Join(e.FederatesWith, " "), when(e.ExpiresAt))
				}
			})
		},
	}
	c.Flags().StringVar(&spiffeID, "spiffe-id", "", "only those that give this ID")
	c.Flags().StringVar(&parent, "parent-id", "", "only those with this parent")
	c.Flags().StringVar(&hint, "hint", "", "only those with this hint")
	c.Flags().StringArrayVar(&selectors, "selector", nil, "only those with this selector; repeat for more, they must have all")
	c.Flags().StringSliceVar(&federatesWith, "federates-with", nil, "only those that federate with this trust domain; repeat for more, they must have all")
	complete(c, "federates-with", o.peers())
	o.bindRead(c)
	return c
}

func entryShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "show ID",
		Short:             "Show an entry",
		Example:           "  concord entry show 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e",
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.entryIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c, &o, client.Path("entries", args[0]), describeEntry)
		},
	}
	o.bindRead(c)
	return c
}

func describeEntry(w io.Writer, e client.Entry) {
	lines(w, "ID", e.ID, "SPIFFE ID", e.SPIFFEID, "Parent", e.ParentID)
	for _, s := range e.Selectors {
		lines(w, "Selector", s)
	}
	lines(w, "Federates with", strings.Join(e.FederatesWith, " "), "DNS names", strings.Join(e.DNSNames, " "), "Hint", e.Hint,
		"X.509-SVID life", life(e.X509TTL), "JWT-SVID life", life(e.JWTTTL))
	var rights []string
	for _, r := range []struct {
		has  bool
		name string
	}{{e.Admin, "administers this domain"}, {e.Downstream, "may ask for a downstream CA"}, {e.StoreSVID, "its SVID is stored"}} {
		if r.has {
			rights = append(rights, r.name)
		}
	}
	lines(w, "Rights", strings.Join(rights, ", "), "Expires", when(e.ExpiresAt), "Created", when(e.CreatedAt), "Revision", e.Revision)
}

// life is a lifetime that may be left to the domain.
func life(d client.Duration) string {
	if d == 0 {
		return "the domain's"
	}
	return span(time.Duration(d))
}

func entryDelete() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "delete ID",
		Short:             "Delete an entry; its workloads lose their identity at once",
		Example:           "  concord entry delete 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e --dry-run",
		Args:              wantArgs("ID"),
		ValidArgsFunction: arguments(o.entryIDs()),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.Entry](c, &o, http.MethodDelete, client.Path("entries", args[0]), nil, nil, "delete", "entry "+args[0])
		},
	}
	o.bindWrite(c)
	return c
}

// entryFlags are the fields of an entry on the command line.
type entryFlags struct {
	spiffeID, parent, hint, expires    string
	selectors, federatesWith, dnsNames []string
	x509TTL, jwtTTL                    time.Duration
	admin, downstream, storeSVID       bool
}

func (f *entryFlags) bind(c *cobra.Command, o *operator) {
	c.Flags().StringVar(&f.spiffeID, "spiffe-id", "", "SPIFFE ID of the workload")
	c.Flags().StringArrayVar(&f.selectors, "selector", nil, "type:value that must be observed, such as unix:uid:1000; repeat for more, all must match")
	c.Flags().StringSliceVar(&f.federatesWith, "federates-with", nil, "trust domain whose bundle the workload gets; repeat for more")
	c.Flags().StringVar(&f.parent, "parent-id", "", "agent or alias that serves it (default: every node's own agent)")
	c.Flags().DurationVar(&f.x509TTL, "x509-svid-ttl", 0, "life of its X.509-SVIDs; 0: the domain's")
	c.Flags().DurationVar(&f.jwtTTL, "jwt-svid-ttl", 0, "life of its JWT-SVIDs; 0: the domain's")
	c.Flags().StringSliceVar(&f.dnsNames, "dns", nil, "DNS name in its X.509-SVIDs; repeat for more")
	c.Flags().StringVar(&f.hint, "hint", "", "told to workloads that have several identities")
	c.Flags().StringVar(&f.expires, "expires", "", "when the entry ends: RFC 3339, a duration from now, or never")
	c.Flags().BoolVar(&f.admin, "admin", false, "its SVIDs may administer this domain")
	c.Flags().BoolVar(&f.downstream, "downstream", false, "its SVIDs may ask for a downstream CA")
	c.Flags().BoolVar(&f.storeSVID, "store-svid", false, "an agent stores its SVID instead of serving it")
	complete(c, "federates-with", o.peers())
	complete(c, "parent-id", o.agentIDs())
}

// entry is the entry that the flags describe.
func (f *entryFlags) entry() (client.Entry, error) {
	expires, err := f.expiresAt()
	return client.Entry{
		SPIFFEID: f.spiffeID, ParentID: f.parent, Selectors: f.selectors, FederatesWith: f.federatesWith,
		X509TTL: client.Duration(f.x509TTL), JWTTTL: client.Duration(f.jwtTTL), DNSNames: f.dnsNames, Hint: f.hint,
		Admin: f.admin, Downstream: f.downstream, StoreSVID: f.storeSVID, ExpiresAt: expires,
	}, err
}

func (f *entryFlags) expiresAt() (time.Time, error) {
	if f.expires == "" || f.expires == "never" {
		return time.Time{}, nil
	}
	return moment("expires", f.expires, 1)
}
