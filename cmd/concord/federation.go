package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func federationCommand() *cobra.Command {
	group := &cobra.Command{Use: "federation", Short: "Relationships: whose bundles this domain follows", Args: noArgs, RunE: help}
	group.AddCommand(federationCreate(), federationList(), federationShow(), federationRefresh(), federationRemove())
	return group
}

func federationCreate() *cobra.Command {
	var o operator
	var endpointURL, profile, endpointID, roots, bundle string
	c := &cobra.Command{
		Use:   "create TRUST-DOMAIN",
		Short: "Follow the bundle of another trust domain",
		Long: `Follow the bundle of another trust domain. Its name, the URL of its bundle
endpoint and the endpoint's profile are all given: none is derived from another.
With https_spiffe the endpoint shows an SVID, so its first bundle is needed too.`,
		Example: `  concord federation create bank.example --url https://bank.example:8443 \
      --profile https_spiffe --endpoint-id spiffe://bank.example/spire/server --bundle bank.json
  concord federation create acme.example --url https://bundle.acme.example --profile https_web --roots acme-ca.pem`,
		Args: wantArgs("TRUST-DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			in := client.NewRelationship{Relationship: client.Relationship{TrustDomain: args[0], URL: endpointURL, Profile: profile, EndpointID: endpointID}}
			if roots != "" {
				text, err := os.ReadFile(roots)
				if err != nil {
					return fmt.Errorf("--roots: %w", err)
				}
				in.Roots = string(text)
			}
			if bundle != "" {
				if in.Bundle, err = readBundleFile(c, bundle, args[0]); err != nil {
					return fmt.Errorf("--bundle: %w", err)
				}
			}
			var out client.Outcome[client.Relationship]
			if err := api.Do(c.Context(), http.MethodPost, client.Path("federation"), o.query(), in, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "create", "relationship with "+args[0], out) })
		},
	}
	c.Flags().StringVar(&endpointURL, "url", "", "URL of its bundle endpoint (https)")
	c.Flags().StringVar(&profile, "profile", "", "https_spiffe or https_web")
	c.Flags().StringVar(&endpointID, "endpoint-id", "", "SPIFFE ID that its endpoint presents (https_spiffe)")
	c.Flags().StringVar(&roots, "roots", "", "PEM file of the CAs that may vouch for its endpoint (https_web; default: the system's)")
	c.Flags().StringVar(&bundle, "bundle", "", "file with its first bundle: SPIFFE document or PEM")
	o.bind(c, true)
	return c
}

func federationList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: "list", Short: "List relationships and how they fare", Args: noArgs,
		Example: "  concord federation list",
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var all client.Relationships
			err = pages(c, api, "federation", url.Values{}, func(page client.Relationships) string {
				all.Relationships, all.Index = append(all.Relationships, page.Relationships...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "TRUST DOMAIN", "STATE", "SEQUENCE", "AGE", "NEXT POLL", "PROFILE", "LAST ERROR")
				for _, r := range all.Relationships {
					row(w, r.TrustDomain, r.Status.State, r.Status.Sequence, age(r.Status), next(r.Status), r.Profile, r.Status.LastError)
				}
			})
		},
	}
	o.bind(c, false)
	return c
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
	return federationAsk("show TRUST-DOMAIN", "Show a relationship and how it fares", "  concord federation show bank.example",
		func(td string) (string, string) { return http.MethodGet, client.Path("federation", td) })
}

func federationRefresh() *cobra.Command {
	return federationAsk("refresh TRUST-DOMAIN", "Fetch its bundle now and say how it went", "  concord federation refresh bank.example",
		func(td string) (string, string) { return http.MethodPost, client.Path("federation", td, "refresh") })
}

// federationAsk is a command whose answer is one relationship.
func federationAsk(use, short, example string, request func(td string) (method, path string)) *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: wantArgs("TRUST-DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			method, path := request(args[0])
			var r client.Relationship
			if err := api.Do(c.Context(), method, path, nil, nil, &r); err != nil {
				return err
			}
			return o.print(c, r, func(w io.Writer) { describeRelationship(w, r) })
		},
	}
	o.bind(c, false)
	return c
}

func describeRelationship(w io.Writer, r client.Relationship) {
	lines(w, "Trust domain", r.TrustDomain, "URL", r.URL, "Profile", r.Profile)
	if r.EndpointID != "" {
		lines(w, "Endpoint ID", r.EndpointID)
	}
	s := r.Status
	lines(w, "State", s.State, "Sequence", s.Sequence, "Authorities", fmt.Sprintf("%d X.509, %d JWT", s.X509, s.JWT),
		"Last success", when(s.LastSuccess), "Last attempt", when(s.LastAttempt), "Next poll", when(s.NextPoll),
		"Polls", fmt.Sprintf("%d, %d with a change", s.Polls, s.Changes))
	if s.LastError != "" {
		lines(w, "Last error", s.LastError)
	}
}

func federationRemove() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "remove TRUST-DOMAIN",
		Short:   "End a relationship: polling stops, its bundle is deleted and leaves the workloads",
		Example: "  concord federation remove bank.example --dry-run",
		Args:    wantArgs("TRUST-DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var out client.Outcome[client.Relationship]
			if err := api.Do(c.Context(), http.MethodDelete, client.Path("federation", args[0]), o.query(), nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "remove", "relationship with "+args[0], out) })
		},
	}
	o.bind(c, true)
	return c
}
