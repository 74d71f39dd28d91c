package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

func bundleCommand() *cobra.Command {
	group := &cobra.Command{Use: "bundle", Short: "Trust bundles: ours, and those that are held of peers", Args: noArgs, RunE: help}
	group.AddCommand(bundleShow(), bundleList(), bundleSet(), bundleDelete())
	return group
}

// maxBundleFile bounds a bundle file that is read.
const maxBundleFile = 1 << 20

func bundleShow() *cobra.Command {
	var o operator
	var format string
	c := &cobra.Command{
		Use:   "show [TRUST-DOMAIN]",
		Short: "Show a bundle; ours if no trust domain is named",
		Example: `  concord bundle show
  concord bundle show --format spiffe > acme.json
  concord bundle show bank.example --format pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			name, err := domainOrOwn(c, api, args)
			if err != nil {
				return err
			}
			var b client.Bundle
			if err := api.Do(c.Context(), http.MethodGet, client.Path("bundles", name), nil, nil, &b); err != nil {
				return err
			}
			return o.printBundle(c, b, format)
		},
	}
	c.Flags().StringVar(&format, "format", "", "spiffe (the document itself) or pem (X.509 authorities only)")
	o.bind(c, false)
	return c
}

// domainOrOwn returns the trust domain that was named, or the node's.
func domainOrOwn(c *cobra.Command, api *client.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	var s client.Status
	err := api.Do(c.Context(), http.MethodGet, client.Path("status"), nil, nil, &s)
	return s.TrustDomain, err
}

func (o *operator) printBundle(c *cobra.Command, b client.Bundle, format string) error {
	out := c.OutOrStdout()
	switch format {
	case "":
		return o.print(c, b, func(w io.Writer) { describeBundle(w, b) })
	case "spiffe":
		_, err := fmt.Fprintf(out, "%s\n", bytes.TrimSpace(b.Document))
		return err
	case "pem":
		td, err := spiffeid.TrustDomainFromString(b.TrustDomain)
		if err != nil {
			return err
		}
		parsed, _, err := federation.Parse(td, b.Document)
		if err != nil {
			return err
		}
		_, err = out.Write(parsed.PEM())
		return err
	}
	return usageError{fmt.Errorf("--format %q: choose spiffe or pem", format)}
}

func describeBundle(w io.Writer, b client.Bundle) {
	lines(w, "Trust domain", b.TrustDomain, "Sequence", b.Sequence, "Refresh hint", time.Duration(b.RefreshHint), "Origin", b.Origin, "Updated", when(b.UpdatedAt))
	for _, a := range b.X509 {
		lines(w, "X.509 authority", fmt.Sprintf("%s, ends %s", a.ID, when(a.NotAfter)))
	}
	for _, a := range b.JWT {
		lines(w, "JWT authority", fmt.Sprintf("%s, %s", a.KeyID, a.Kind))
	}
}

func bundleList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use: "list", Short: "List the bundles that are held of other trust domains", Args: noArgs,
		Example: "  concord bundle list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			var all client.Bundles
			err = pages(c, api, "bundles", url.Values{}, func(page client.Bundles) string {
				all.Bundles, all.Index = append(all.Bundles, page.Bundles...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "TRUST DOMAIN", "SEQUENCE", "X.509", "JWT", "HINT", "ORIGIN", "UPDATED")
				for _, b := range all.Bundles {
					row(w, b.TrustDomain, b.Sequence, len(b.X509), len(b.JWT), time.Duration(b.RefreshHint), b.Origin, when(b.UpdatedAt))
				}
			})
		},
	}
	o.bind(c, false)
	return c
}

// readBundleFile reads a SPIFFE document, or PEM certificates, as a document.
func readBundleFile(c *cobra.Command, name, trustDomain string) (json.RawMessage, error) {
	in := c.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the bundle: %w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxBundleFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	if len(text) > maxBundleFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxBundleFile)
	}
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, usageError{err}
	}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		if _, _, err := federation.Parse(td, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return text, nil
	}
	b, err := federation.ParsePEM(td, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b.Marshal()
}

func bundleSet() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "set TRUST-DOMAIN FILE",
		Short: "Hold a bundle that was brought by hand, as a SPIFFE document or PEM; - reads standard input",
		Example: `  concord bundle set bank.example bank.json
  concord bundle set bank.example roots.pem --dry-run`,
		Args: wantArgs("TRUST-DOMAIN", "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			document, err := readBundleFile(c, args[1], args[0])
			if err != nil {
				return err
			}
			var out client.Outcome[client.Bundle]
			if err := api.Do(c.Context(), http.MethodPut, client.Path("bundles", args[0]), o.query(), document, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "set", "the bundle of "+args[0], out) })
		},
	}
	o.bind(c, true)
	return c
}

func bundleDelete() *cobra.Command {
	var o operator
	var mode string
	c := &cobra.Command{
		Use:     "delete TRUST-DOMAIN",
		Short:   "Stop holding a bundle",
		Example: "  concord bundle delete bank.example --mode dissociate --dry-run",
		Args:    wantArgs("TRUST-DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := o.client(c)
			if err != nil {
				return err
			}
			query := o.query()
			query.Set("mode", mode)
			var out client.Outcome[client.Bundle]
			if err := api.Do(c.Context(), http.MethodDelete, client.Path("bundles", args[0]), query, nil, &out); err != nil {
				return err
			}
			return o.print(c, out, func(w io.Writer) { printOutcome(w, "delete", "the bundle of "+args[0], out) })
		},
	}
	c.Flags().StringVar(&mode, "mode", "restrict", "entries that federate with it: restrict (refuse), dissociate (they lose it) or delete (they go too)")
	o.bind(c, true)
	return c
}
