package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

func bundleCommand() *cobra.Command {
	return group("bundle", "Trust bundles: ours, and those that are held of peers",
		bundleShow(), bundleList(), bundleSet(), bundleDelete())
}

func bundleShow() *cobra.Command {
	var o operator
	var format string
	c := &cobra.Command{
		Use:   "show [TRUST-DOMAIN]",
		Short: "Show a bundle; ours if no trust domain is named",
		Example: `  concord bundle show
  concord bundle show --format spiffe > acme.json
  concord bundle show bank.example --format pem`,
		Args:              optionalArg,
		ValidArgsFunction: arguments(o.bundles()),
		RunE: func(c *cobra.Command, args []string) error {
			if format == "pem" && o.format == "json" {
				return misused("--format pem and -o json are two forms: choose one")
			}
			b, err := fetchBundle(c, &o, args)
			if err != nil {
				return err
			}
			return o.printBundle(c, b, format)
		},
	}
	c.Flags().StringVar(&format, "format", "", "spiffe (the document itself) or pem (X.509 authorities only)")
	choices(c, "format", "spiffe", "pem")
	o.bindRead(c)
	return c
}

// fetchBundle returns the bundle of the trust domain that was named, or ours.
func fetchBundle(c *cobra.Command, o *operator, args []string) (b client.Bundle, err error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	} else {
		var s client.Status
		if err := o.ask(c, http.MethodGet, client.Path("status"), nil, nil, &s); err != nil {
			return b, err
		}
		name = s.TrustDomain
	}
	return b, o.ask(c, http.MethodGet, client.Path("bundles", name), nil, nil, &b)
}

func (o *operator) printBundle(c *cobra.Command, b client.Bundle, format string) error {
	switch format {
	case "":
		return o.print(c, b, func(w io.Writer) { describeBundle(w, b) })
	case "spiffe":
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", bytes.TrimSpace(b.Document))
		return err
	case "pem":
		text, err := bundlePEM(b)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return misused("--format %q: choose spiffe or pem", format)
}

// bundlePEM returns a bundle's X.509 authorities.
func bundlePEM(b client.Bundle) ([]byte, error) {
	td, err := spiffeid.TrustDomainFromString(b.TrustDomain)
	if err != nil {
		return nil, err
	}
	parsed, _, err := federation.Parse(td, b.Document)
	if err != nil {
		return nil, fmt.Errorf("the bundle of %s: %w", b.TrustDomain, err)
	}
	return parsed.PEM(), nil
}

func describeBundle(w io.Writer, b client.Bundle) {
	lines(w, "Trust domain", b.TrustDomain, "Sequence", b.Sequence, "Refresh hint", hint(b), "Origin", b.Origin, "Updated", when(b.UpdatedAt))
	for _, a := range b.X509 {
		lines(w, "X.509 authority", fmt.Sprintf("%s, ends %s", a.ID, when(a.NotAfter)))
	}
	for _, a := range b.JWT {
		lines(w, "JWT authority", fmt.Sprintf("%s, %s", a.KeyID, a.Kind))
	}
}

// hint is how often a bundle says that it should be fetched; "" if it does not.
func hint(b client.Bundle) string {
	if b.RefreshHint == 0 {
		return ""
	}
	return span(time.Duration(b.RefreshHint))
}

func bundleList() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the bundles that are held of other trust domains",
		Example: "  concord bundle list\n  concord bundle list -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := client.Bundles{Bundles: []client.Bundle{}}
			err := pages(c, &o, "bundles", url.Values{}, func(page client.Bundles) string {
				all.Bundles, all.Index = append(all.Bundles, page.Bundles...), page.Index
				return page.Next
			})
			if err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "TRUST DOMAIN", "SEQUENCE", "X.509", "JWT", "HINT", "ORIGIN", "UPDATED")
				for _, b := range all.Bundles {
					row(w, b.TrustDomain, b.Sequence, len(b.X509), len(b.JWT), hint(b), b.Origin, when(b.UpdatedAt))
				}
			})
		},
	}
	o.bindRead(c)
	return c
}

func bundleSet() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "set TRUST-DOMAIN FILE",
		Short: "Hold a bundle that was brought by hand, as a SPIFFE document or PEM; - reads standard input",
		Example: `  concord bundle set bank.example bank.json
  concord bundle set bank.example roots.pem --dry-run`,
		Args:              wantArgs("TRUST-DOMAIN", "FILE"),
		ValidArgsFunction: arguments(o.peers(), files),
		RunE: func(c *cobra.Command, args []string) error {
			document, err := readBundleFile(c, args[1], args[0])
			if err != nil {
				return err
			}
			return change[client.Bundle](c, &o, http.MethodPut, client.Path("bundles", args[0]), nil, document, "set", "the bundle of "+args[0])
		},
	}
	o.bindWrite(c)
	return c
}

func bundleDelete() *cobra.Command {
	var o operator
	var mode string
	c := &cobra.Command{
		Use:   "delete TRUST-DOMAIN",
		Short: "Stop holding a bundle",
		Long: `Stop holding a bundle. A relationship with its trust domain stays, and fetches
it again if it can; concord federation remove ends both.`,
		Example:           "  concord bundle delete bank.example --mode dissociate --dry-run",
		Args:              wantArgs("TRUST-DOMAIN"),
		ValidArgsFunction: arguments(o.bundles()),
		RunE: func(c *cobra.Command, args []string) error {
			return change[client.Bundle](c, &o, http.MethodDelete, client.Path("bundles", args[0]), url.Values{"mode": {mode}}, nil, "delete", "the bundle of "+args[0])
		},
	}
	c.Flags().StringVar(&mode, "mode", "restrict", "entries that federate with it: restrict (refuse), dissociate (they lose it) or delete (they go too)")
	choices(c, "mode", "restrict", "dissociate", "delete")
	o.bindWrite(c)
	return c
}
