package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func entryCommand() *cobra.Command {
	group := &cobra.Command{Use: "entry", Short: "Registration entries: who is which workload", Args: noArgs, RunE: help}
	group.AddCommand(entryCreate(), entryList(), entryShow(), entryUpdate(), entryDelete())
	return group
}

// entryFlags are the fields of an entry on the command line.
type entryFlags struct {
	id, spiffeID, parent, hint, expires string
	selectors, federatesWith, dnsNames  []string
	x509TTL, jwtTTL                     time.Duration
	admin, downstream, storeSVID        bool
}

func (f *entryFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.spiffeID, "spiffe-id", "", "SPIFFE ID of the workload")
	c.Flags().StringVar(&f.parent, "parent-id", "", "agents that serve it (default: every node's own agent)")
	c.Flags().StringArrayVar(&f.selectors, "selector", nil, "type:value that must be observed, such as unix:uid:1000; repeat for more, all must match")
	c.Flags().StringSliceVar(&f.federatesWith, "federates-with", nil, "trust domain whose bundle the workload gets; repeat for more")
	c.Flags().DurationVar(&f.x509TTL, "x509-svid-ttl", 0, "life of its X.509-SVIDs (default: the domain's)")
	c.Flags().DurationVar(&f.jwtTTL, "jwt-svid-ttl", 0, "life of its JWT-SVIDs (default: the domain's)")
	c.Flags().StringSliceVar(&f.dnsNames, "dns", nil, "DNS name in its X.509-SVIDs; repeat for more")
	c.Flags().StringVar(&f.hint, "hint", "", "told to workloads that have several identities")
	c.Flags().StringVar(&f.expires, "expires", "", "when the entry ends: RFC 3339, or a duration from now")
	c.Flags().BoolVar(&f.admin, "admin", false, "its SVIDs may administer this domain")
	c.Flags().BoolVar(&f.downstream, "downstream", false, "its SVIDs may ask for a downstream CA")
	c.Flags().BoolVar(&f.storeSVID, "store-svid", false, "an agent stores its SVID instead of serving it")
}

func (f *entryFlags) expiresAt() (time.Time, error) {
	if f.expires == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(f.expires); err == nil {
		return time.Now().Add(d).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, f.expires)
	if err != nil {
		return t, usageError{fmt.Errorf("--expires %q: write a duration such as 24h, or a time such as 2027-01-31T00:00:00Z", f.expires)}
	}
	return t, nil
}

func entryCreate() *cobra.Command {
	var o operator
	var f entryFlags
	c := &cobra.Command{
		Use:   "create",
		Short: "Create an entry",
		Example: `  concord entry create --spiffe-id spiffe://acme.example/web --selector unix:user:www-data
  concord entry create --spiffe-id spiffe://acme.example/api --selector unix:path:/usr/bin/api \
      --federates-with bank.example --x509-svid-ttl 30m --dry-run`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			if f.spiffeID == "" || len(f.selectors) == 0 {
				return usageError{fmt.Errorf("give --spiffe-id and at least one --selector")}
			}
			expires, err := f.expiresAt()
			if err != nil {
				return err
			}
			entry := client.Entry{
				ID: f.id, SPIFFEID: f.spiffeID, ParentID: f.parent, Selectors: f.selectors, FederatesWith: f.federatesWith,
				X509TTL: client.Duration(f.x509TTL), JWTTTL: client.Duration(f.jwtTTL), DNSNames: f.dnsNames, Hint: f.hint,
				Admin: f.admin, Downstream: f.downstream, StoreSVID: f.storeSVID, ExpiresAt: expires,
			}
			var out client.Outcome[client.Entry]
			if err := api.Do(c.Context(), http.MethodPost, client.Path("entries"), o.query(), entry, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "create", "entry for "+f.spiffeID, out) })
		},
	}
	f.bind(c)
	c.Flags().StringVar(&f.id, "id", "", "the entry's ID (default: a random UUID)")
	o.bind(c, true)
	return c
}

func entryUpdate() *cobra.Command {
	var o operator
	var f entryFlags
	c := &cobra.Command{
		Use:   "update ID",
		Short: "Change the fields of an entry that are given as flags",
		Example: `  concord entry update 7e3d… --federates-with bank.example,partner.example
  concord entry update 7e3d… --hint internal --dry-run`,
		Args: wantArgs("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			patch, err := f.patch(c)
			if err != nil {
				return err
			}
			var out client.Outcome[client.Entry]
			if err := api.Do(c.Context(), http.MethodPatch, client.Path("entries", args[0]), o.query(), patch, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "update", "entry "+args[0], out) })
		},
	}
	f.bind(c)
	o.bind(c, true)
	return c
}

// patch holds the fields whose flags were given.
func (f *entryFlags) patch(c *cobra.Command) (p client.EntryPatch, err error) {
	given := c.Flags().Changed
	p.SPIFFEID = when1(given("spiffe-id"), f.spiffeID)
	p.ParentID = when1(given("parent-id"), f.parent)
	p.Selectors = when1(given("selector"), f.selectors)
	p.FederatesWith = when1(given("federates-with"), f.federatesWith)
	p.X509TTL = when1(given("x509-svid-ttl"), client.Duration(f.x509TTL))
	p.JWTTTL = when1(given("jwt-svid-ttl"), client.Duration(f.jwtTTL))
	p.DNSNames = when1(given("dns"), f.dnsNames)
	p.Hint = when1(given("hint"), f.hint)
	p.Admin = when1(given("admin"), f.admin)
	p.Downstream = when1(given("downstream"), f.downstream)
	p.StoreSVID = when1(given("store-svid"), f.storeSVID)
	if given("expires") {
		expires, err := f.expiresAt()
		if err != nil {
			return p, err
		}
		p.ExpiresAt = &expires
	}
	return p, nil
}

// when1 returns v's address if it was given.
func when1[T any](given bool, v T) *T {
	if !given {
		return nil
	}
	return &v
}

func entryList() *cobra.Command {
	var o operator
	var spiffeID, parent string
	var selectors, federatesWith []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List entries",
		Example: `  concord entry list
  concord entry list --selector unix:uid:1000
  concord entry list --federates-with bank.example -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			query := url.Values{}
			set(query, "spiffe_id", spiffeID)
			set(query, "parent_id", parent)
			query["selector"], query["federates_with"] = selectors, federatesWith
			var all client.Entries
			err = pages(c, api, "entries", query, func(page client.Entries) string {
				all.Entries = append(all.Entries, page.Entries...)
				all.Index = page.Index
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
				fmt.Fprintf(w, "%d entries\n", len(all.Entries))
			})
		},
	}
	c.Flags().StringVar(&spiffeID, "spiffe-id", "", "only those that give this ID")
	c.Flags().StringVar(&parent, "parent-id", "", "only those with this parent")
	c.Flags().StringArrayVar(&selectors, "selector", nil, "only those with this selector; repeat for more")
	c.Flags().StringSliceVar(&federatesWith, "federates-with", nil, "only those that federate with this trust domain")
	o.bind(c, false)
	return c
}

func entryShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: "show ID", Short: "Show an entry", Args: wantArgs("ID"),
		Example: "  concord entry show 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e",
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var e client.Entry
			if err := api.Do(c.Context(), http.MethodGet, client.Path("entries", args[0]), nil, nil, &e); err != nil {
				return err
			}
			return o.print(c, e, func(w io.Writer) {
				lines(w, "ID", e.ID, "SPIFFE ID", e.SPIFFEID, "Parent", e.ParentID, "Selectors", strings.Join(e.Selectors, " "),
					"Federates with", strings.Join(e.FederatesWith, " "), "DNS names", strings.Join(e.DNSNames, " "), "Hint", e.Hint,
					"Created", when(e.CreatedAt), "Expires", when(e.ExpiresAt), "Revision", e.Revision)
			})
		},
	}
	o.bind(c, false)
	return c
}

func entryDelete() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: "delete ID", Short: "Delete an entry; its workloads lose their identity at once", Args: wantArgs("ID"),
		Example: "  concord entry delete 7e3d5c1a-0f6b-4c57-8f4e-0d6d3f9f2f7e --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var out client.Outcome[client.Entry]
			if err := api.Do(c.Context(), http.MethodDelete, client.Path("entries", args[0]), o.query(), nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "delete", "entry "+args[0], out) })
		},
	}
	o.bind(c, true)
	return c
}

// query carries --dry-run.
func (o *operator) query() url.Values {
	q := url.Values{}
	if o.dryRun {
		q.Set("dry_run", "true")
	}
	return q
}

// set adds a parameter that was given.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// pages reads a whole listing; take returns the next page's token.
func pages[T any](c *cobra.Command, api *client.Client, resource string, query url.Values, take func(T) string) error {
	for {
		var page T
		if err := api.Do(c.Context(), http.MethodGet, client.Path(resource), query, nil, &page); err != nil {
			return err
		}
		next := take(page)
		if next == "" {
			return nil
		}
		query.Set("page_token", next)
	}
}
