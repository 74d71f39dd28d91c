package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// token is a JWT-SVID as -o json shows it.
type token struct {
	SPIFFEID  string         `json:"spiffe_id"`
	Audience  []string       `json:"audience"`
	ExpiresAt time.Time      `json:"expires_at"`
	Token     string         `json:"token,omitempty"`
	Claims    map[string]any `json:"claims,omitempty"`
}

func svidToken() *cobra.Command {
	var w caller
	var audience []string
	var id string
	c := &cobra.Command{
		Use:   "token",
		Short: "Fetch a JWT-SVID; prints the token alone",
		Example: `  concord svid token --audience spiffe://bank.example/ledger
  curl -H "Authorization: Bearer $(concord svid token --audience api)" https://api.example/`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(audience) == 0 {
				return misused("give --audience: whom the token is for")
			}
			params := jwtsvid.Params{Audience: audience[0], ExtraAudiences: audience[1:]}
			if id != "" {
				subject, err := spiffeid.FromString(id)
				if err != nil {
					return misused("--spiffe-id: %v", err)
				}
				params.Subject = subject
			}
			svid, err := ask(c, &w, func(ctx context.Context, api *workloadapi.Client) (*jwtsvid.SVID, error) {
				return api.FetchJWTSVID(ctx, params)
			})
			if err != nil {
				return err
			}
			shown := token{SPIFFEID: svid.ID.String(), Audience: svid.Audience, ExpiresAt: svid.Expiry, Token: svid.Marshal()}
			return w.print(c, shown, func(out io.Writer) { fmt.Fprintln(out, shown.Token) })
		},
	}
	c.Flags().StringArrayVar(&audience, "audience", nil, "whom the token is for; repeat for more")
	c.Flags().StringVar(&id, "spiffe-id", "", "which identity, if this process has several")
	w.bind(c)
	return c
}

func svidValidate() *cobra.Command {
	var w caller
	var audience string
	c := &cobra.Command{
		Use:   "validate TOKEN|FILE",
		Short: "Have the node validate a JWT-SVID; or check an X.509-SVID file against the bundles that we get",
		Long: `Have the node validate a JWT-SVID for an audience, or check an X.509-SVID file
(PEM, leaf first) against the bundles that this process gets. A file that holds
a token is read as one; - reads standard input, which keeps a token out of the
list of processes.`,
		Example: `  concord svid token --audience me | concord svid validate --audience me -
  concord svid validate partner.pem`,
		Args:              wantArgs("TOKEN|FILE"),
		ValidArgsFunction: arguments(files),
		RunE: func(c *cobra.Command, args []string) error {
			if looksLikeToken(args[0]) {
				return validateToken(c, &w, audience, args[0])
			}
			text, err := readFile(c, args[0])
			if err != nil {
				return fmt.Errorf("read the SVID: %w", err)
			}
			if trimmed := strings.TrimSpace(string(text)); looksLikeToken(trimmed) {
				return validateToken(c, &w, audience, trimmed)
			}
			return validateChain(c, &w, args[0], text)
		},
	}
	c.Flags().StringVar(&audience, "audience", "", "whom the token must be for")
	w.bind(c)
	return c
}

// looksLikeToken tells a compact JWS from a file's name.
func looksLikeToken(text string) bool {
	header, _, dotted := strings.Cut(text, ".")
	if !dotted {
		return false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	return err == nil && json.Valid(decoded)
}

func validateToken(c *cobra.Command, w *caller, audience, text string) error {
	if audience == "" {
		return misused("give --audience: whom the token must be for")
	}
	svid, err := ask(c, w, func(ctx context.Context, api *workloadapi.Client) (*jwtsvid.SVID, error) {
		return api.ValidateJWTSVID(ctx, text, audience)
	})
	if err != nil {
		return err
	}
	shown := token{SPIFFEID: svid.ID.String(), Audience: svid.Audience, ExpiresAt: svid.Expiry, Claims: svid.Claims}
	return w.print(c, shown, func(out io.Writer) {
		lines(out, "Valid", shown.SPIFFEID, "Audience", strings.Join(shown.Audience, " "), "Ends", when(shown.ExpiresAt))
	})
}

func validateChain(c *cobra.Command, w *caller, name string, text []byte) error {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s: certificate %d: %w", name, len(chain)+1, err)
		}
		chain = append(chain, parsed)
	}
	if len(chain) == 0 {
		return fmt.Errorf("%s has no PEM certificate, and is no token", name)
	}
	bundles, err := fetchX509(c, w)
	if err != nil {
		return err
	}
	id, chains, err := x509svid.Verify(chain, bundles.Bundles)
	if err != nil {
		return fmt.Errorf("%s is not valid for this workload: %w", name, err)
	}
	root := chains[0][len(chains[0])-1]
	shown := x509Identity{SPIFFEID: id.String(), NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter, Chain: string(certificatesPEM(chain))}
	return w.print(c, shown, func(out io.Writer) {
		lines(out, "Valid", id, "Ends", when(chain[0].NotAfter), "Authority", fmt.Sprintf("%x", root.SubjectKeyId))
	})
}
