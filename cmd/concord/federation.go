package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

func federationCommand() *cobra.Command {
	return group("federation", "Relationships: whose bundles this domain follows",
		federationCreate(), federationList(), federationShow(), federationUpdate(), federationRefresh(), federationRemove())
}

// relationshipFlags are the fields of a relationship on the command line.
type relationshipFlags struct{ url, profile, endpointID, roots, bundle string }

func (f *relationshipFlags) bind(c *cobra.Command) {
	c.Flags().SortFlags = false
	c.Flags().StringVar(&f.url, "url", "", "URL of its bundle endpoint (https)")
	c.Flags().StringVar(&f.profile, "profile", "", "https_spiffe or https_web")
	c.Flags().StringVar(&f.endpointID, "endpoint-id", "", "SPIFFE ID that its endpoint presents (https_spiffe)")
	c.Flags().StringVar(&f.roots, "roots", "", "PEM file of the CAs that may vouch for its endpoint (https_web; default: the system's)")
	c.Flags().StringVar(&f.bundle, "bundle", "", "file with a bundle to begin with: SPIFFE document or PEM")
	choices(c, "profile", string(federation.HTTPSSPIFFE), string(federation.HTTPSWeb))
}

// onto puts the flags that were given over a relationship.
func (f *relationshipFlags) onto(c *cobra.Command, in *client.NewRelationship) error {
	for flag, to := range map[string]*string{"url": &in.URL, "profile": &in.Profile, "endpoint-id": &in.EndpointID} {
		if c.Flags().Changed(flag) {
			*to = c.Flags().Lookup(flag).Value.String()
		}
	}
	if c.Flags().Changed("roots") {
		in.Roots = ""
		if f.roots != "" {
			text, err := readFile(c, f.roots)
			if err != nil {
				return fmt.Errorf("--roots: %w", err)
			}
			in.Roots = string(text)
		}
	}
	if f.bundle != "" {
		document, err := readBundleFile(c, f.bundle, in.TrustDomain)
		if err != nil {
			return fmt.Errorf("--bundle: %w", err)
		}
		in.Bundle = document
	}
	return nil
}

func federationCreate() *cobra.Command {
	var o operator
	var f relationshipFlags
	c := &cobra.Command{
		Use:   "create TRUST-DOMAIN",
		Short: "Follow the bundle of another trust domain",
		Long: `Follow the bundle of another trust domain. Its name, the URL of its bundle
endpoint and the endpoint's profile are all given: none is derived from another.
With https_spiffe the endpoint shows an SVID, so its first bundle is needed too.`,
		Example: `  concord federation create bank.example --url https://bank.example:8443 \
      --profile https_spiffe --endpoint-id spiffe://bank.example/spire/server --bundle bank.json
  concord federation create acme.example --url https://bundle.acme.example --profile https_web --roots acme-ca.pem`,
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(cobra.NoFileCompletions),
		RunE: func(c *cobra.Command, args []string) error {
			if f.url == "" || f.profile == "" {
				return misused("give --url and --profile: where %s serves its bundle, and how the endpoint shows who it is", args[0])
			}
			in := client.NewRelationship{Relationship: client.Relationship{TrustDomain: args[0]}}
			if err := f.onto(c, &in); err != nil {
				return err
			}
			return change[client.Relationship](c, &o, http.MethodPost, client.Path("federation"), nil, in, "create", "relationship with "+args[0])
		},
	}
	f.bind(c)
	o.bindWrite(c)
	return c
}

func federationUpdate() *cobra.Command {
	var o operator
	var f relationshipFlags
	c := &cobra.Command{
		Use:   "update TRUST-DOMAIN",
		Short: "Change where and how a bundle is fetched; what is held stays",
		Long: `Change the fields of a relationship that are given as flags; the others stay,
and so does the bundle that is held, unless another one is given.`,
		Example: `  concord federation update bank.example --url https://bundle.bank.example --dry-run
  concord federation update bank.example --profile https_web --endpoint-id=`,
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(o.peers()),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c, "url", "profile", "endpoint-id", "roots", "bundle") {
				return misused("give a flag for each field that is to change")
			}
			path := client.Path("federation", args[0])
			return retried(func() error {
				var in client.NewRelationship
				if err := o.ask(c, http.MethodGet, path, nil, nil, &in.Relationship); err != nil {
					return err
				}
				in.Status = client.RelationshipStatus{}
				if err := f.onto(c, &in); err != nil {
					return err
				}
				return change[client.Relationship](c, &o, http.MethodPut, path, nil, in, "update", "relationship with "+args[0])
			})
		},
	}
	f.bind(c)
	o.bindWrite(c)
	return c
}

func federationList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "list",
		Short:   "List relationships and how they fare",
		Example: "  concord federation list\n  concord federation list -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := client.Relationships{Relationships: []client.Relationship{}}
			err := pages(c, &o, "federation", url.Values{}, func(page client.Relationships) string {
				all.Relationships, all.Index = append(all.Relationships, page.Relationships...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "TRUST DOMAIN", "STATE", "SEQUENCE", "PROFILE", "AGE", "NEXT POLL", "LAST ERROR")
				for _, r := range all.Relationships {
					row(w, r.TrustDomain, r.Status.State, number(r.Status.Sequence), r.Profile, age(r.Status), next(r.Status), r.Status.LastError)
				}
			})
		},
	}
	o.bindRead(c)
	return c
}

// number is "" for what is not there yet.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// age is how long ago the bundle was confirmed.
func age(s client.RelationshipStatus) string {
	if s.LastSuccess.IsZero() {
		return ""
	}
	return span(time.Duration(s.Age))
}

func next(s client.RelationshipStatus) string {
	if s.NextPoll.IsZero() {
		return ""
	}
	return distance(time.Until(s.NextPoll))
}

func federationShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "show TRUST-DOMAIN",
		Short:             "Show a relationship and how it fares",
		Example:           "  concord federation show bank.example",
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(o.peers()),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c, &o, client.Path("federation", args[0]), describeRelationship)
		},
	}
	o.bindRead(c)
	return c
}

func federationRefresh() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "refresh TRUST-DOMAIN",
		Short:             "Fetch its bundle now and say how it went",
		Example:           "  concord federation refresh bank.example",
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(o.peers()),
		RunE: func(c *cobra.Command, args []string) error {
			path, method := client.Path("federation", args[0], "refresh"), http.MethodPost
			if o.dryRun {
				path, method = client.Path("federation", args[0]), http.MethodGet
			}
			var r client.Relationship
			if err := o.ask(c, method, path, nil, nil, &r); err != nil {
				return err
			}
			err := o.print(c, r, func(w io.Writer) {
				if o.dryRun {
					fmt.Fprintf(w, "Dry run: would fetch %s; nothing was fetched.\n", cell(r.URL))
					return
				}
				describeRelationship(w, r)
			})
			if err == nil && !o.dryRun && r.Status.LastError != "" {
				err = fmt.Errorf("the bundle of %s could not be fetched", args[0])
			}
			return err
		},
	}
	o.bindWrite(c)
	return c
}

func describeRelationship(w io.Writer, r client.Relationship) {
	s := r.Status
	lines(w, "Trust domain", r.TrustDomain, "URL", r.URL, "Profile", r.Profile, "Endpoint ID", r.EndpointID,
		"State", s.State, "Sequence", number(s.Sequence), "Authorities", fmt.Sprintf("%d X.509, %d JWT", s.X509, s.JWT),
		"Last success", when(s.LastSuccess), "Last attempt", when(s.LastAttempt), "Next poll", when(s.NextPoll),
		"Polls", fmt.Sprintf("%d, %d with a change", s.Polls, s.Changes), "Last error", s.LastError)
}

func federationRemove() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:               "remove TRUST-DOMAIN",
		Short:             "End a relationship: polling stops, its bundle is deleted and leaves the workloads",
		Example:           "  concord federation remove bank.example --dry-run",
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(o.peers()),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.Relationship](c, &o, http.MethodDelete, client.Path("federation", args[0]), nil, nil, "remove", "relationship with "+args[0])
		},
	}
	o.bindWrite(c)
	return c
}
