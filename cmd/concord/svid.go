package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

func svidCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "svid",
		Short: "What this process gets from the Workload API",
		Args:  noArgs, RunE: help,
	}
	group.AddCommand(svidFetch(), svidWatch(), svidWrite(), svidToken(), svidValidate())
	return group
}

// caller is what every command that uses the Workload API has in common.
type caller struct {
	socket  string
	output  string
	timeout time.Duration
}

func (w *caller) bind(c *cobra.Command) {
	socket := os.Getenv(workloadSocketVariable)
	if socket == "" {
		socket = "concord-data/workload.sock"
	}
	c.Flags().StringVar(&w.socket, "socket", socket, "the Workload API's socket ("+workloadSocketVariable+")")
	c.Flags().StringVarP(&w.output, "output", "o", "text", "text or json")
	c.Flags().DurationVar(&w.timeout, "timeout", 10*time.Second, "how long to wait for the answer")
}

func (w *caller) client(ctx context.Context) (*workloadapi.Client, error) {
	if w.output != "text" && w.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q: choose text or json", w.output)}
	}
	absolute, err := filepath.Abs(w.socket)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(absolute); err != nil {
		return nil, fmt.Errorf("there is no Workload API at %s: start a node, or name its socket with --socket or %s", w.socket, workloadSocketVariable)
	}
	return workloadapi.New(ctx, workloadapi.WithAddr("unix://"+absolute))
}

// ask makes one call with the time limit, and says in the node's own words why it failed.
func ask[T any](c *cobra.Command, w *caller, call func(context.Context, *workloadapi.Client) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(c.Context(), w.timeout)
	defer cancel()
	api, err := w.client(ctx)
	if err != nil {
		return none, err
	}
	defer api.Close()
	answer, err := call(ctx, api)
	if err != nil {
		return none, inWords(err)
	}
	return answer, nil
}

// inWords takes the message out of a gRPC status.
func inWords(err error) error {
	if s, ok := status.FromError(err); ok {
		return fmt.Errorf("%s: %s", s.Code(), s.Message())
	}
	return err
}

// x509Answer is an answer of the Workload API as -o json shows it.
type x509Answer struct {
	SVIDs   []x509Identity `json:"svids"`
	Bundles []string       `json:"bundles"` // trust domains whose bundles came along
}

type x509Identity struct {
	SPIFFEID  string    `json:"spiffe_id"`
	Hint      string    `json:"hint,omitempty"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Chain     string    `json:"chain"` // PEM, leaf first
}

func showX509(answer *workloadapi.X509Context) x509Answer {
	out := x509Answer{SVIDs: []x509Identity{}, Bundles: []string{}}
	for _, s := range answer.SVIDs {
		out.SVIDs = append(out.SVIDs, x509Identity{
			SPIFFEID: s.ID.String(), Hint: s.Hint, NotBefore: s.Certificates[0].NotBefore, NotAfter: s.Certificates[0].NotAfter,
			Chain: string(certificatesPEM(s.Certificates)),
		})
	}
	for _, b := range answer.Bundles.Bundles() {
		out.Bundles = append(out.Bundles, b.TrustDomain().Name())
	}
	return out
}

func certificatesPEM(certificates []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func (w *caller) print(c *cobra.Command, answer any, text func(io.Writer)) error {
	o := operator{output: w.output}
	return o.print(c, answer, text)
}

func describeX509(w io.Writer, a x509Answer) {
	for i, s := range a.SVIDs {
		name := "X.509-SVID"
		if i == 0 && len(a.SVIDs) > 1 {
			name = "X.509-SVID (default)"
		}
		lines(w, name, s.SPIFFEID, "  ends", when(s.NotAfter))
		if s.Hint != "" {
			lines(w, "  hint", s.Hint)
		}
	}
	lines(w, "Bundles", strings.Join(a.Bundles, " "))
}

func svidFetch() *cobra.Command {
	var w caller
	c := &cobra.Command{
		Use:     "fetch",
		Short:   "Fetch this process's X.509-SVIDs once",
		Example: "  concord svid fetch\n  concord svid fetch -o json --socket /var/lib/concord/workload.sock",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			answer, err := ask(c, &w, func(ctx context.Context, api *workloadapi.Client) (*workloadapi.X509Context, error) {
				return api.FetchX509Context(ctx)
			})
			if err != nil {
				return err
			}
			shown := showX509(answer)
			return w.print(c, shown, func(out io.Writer) { describeX509(out, shown) })
		},
	}
	w.bind(c)
	return c
}

func svidWatch() *cobra.Command {
	var w caller
	c := &cobra.Command{
		Use:     "watch",
		Short:   "Print this process's X.509-SVIDs and bundles each time they change, until Ctrl-C",
		Example: "  concord svid watch\n  concord svid watch -o json | jq .bundles",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := w.client(c.Context())
			if err != nil {
				return err
			}
			defer api.Close()
			err = api.WatchX509Context(c.Context(), &watcher{c: c, w: &w})
			if c.Context().Err() != nil {
				return nil
			}
			return inWords(err)
		},
	}
	w.bind(c)
	return c
}

// watcher prints what a stream tells.
type watcher struct {
	c *cobra.Command
	w *caller
}

func (w *watcher) OnX509ContextUpdate(answer *workloadapi.X509Context) {
	shown := showX509(answer)
	w.w.print(w.c, shown, func(out io.Writer) {
		fmt.Fprintln(out, time.Now().UTC().Format(time.RFC3339))
		describeX509(out, shown)
	})
}

func (w *watcher) OnX509ContextWatchError(err error) {
	fmt.Fprintf(w.c.ErrOrStderr(), "concord: %v; trying again\n", inWords(err))
}

func svidWrite() *cobra.Command {
	var w caller
	c := &cobra.Command{
		Use:   "write DIR",
		Short: "Write the default X.509-SVID, its key and each bundle to files",
		Long: `Write svid.pem, svid.key and one bundle file a trust domain (bundle.<name>.pem)
to a directory. Bundles of several trust domains are never put into one file:
who trusts such a file trusts each of them to speak for all.`,
		Example: "  concord svid write /run/web",
		Args:    wantArgs("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := ask(c, &w, func(ctx context.Context, api *workloadapi.Client) (*workloadapi.X509Context, error) {
				return api.FetchX509Context(ctx)
			})
			if err != nil {
				return err
			}
			written, err := writeX509(args[0], answer)
			if err != nil {
				return err
			}
			return w.print(c, map[string][]string{"files": written}, func(out io.Writer) {
				for _, name := range written {
					fmt.Fprintln(out, name)
				}
			})
		},
	}
	w.bind(c)
	return c
}

func writeX509(dir string, answer *workloadapi.X509Context) (written []string, err error) {
	svid := answer.DefaultSVID()
	chain, key, err := svid.Marshal()
	if err != nil {
		return nil, err
	}
	files := []struct {
		name string
		text []byte
		mode os.FileMode
	}{{"svid.key", key, 0o600}, {"svid.pem", chain, 0o644}}
	for _, b := range answer.Bundles.Bundles() {
		files = append(files, struct {
			name string
			text []byte
			mode os.FileMode
		}{"bundle." + b.TrustDomain().Name() + ".pem", certificatesPEM(b.X509Authorities()), 0o644})
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := replaceFile(path, f.text, f.mode); err != nil {
			return nil, err
		}
		written = append(written, path)
	}
	return written, nil
}

// replaceFile writes a file in one step: a reader sees the old or the new one.
func replaceFile(path string, text []byte, mode os.FileMode) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), ".concord-")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // is gone once it was renamed
	if err := fresh.Chmod(mode); err != nil {
		return err
	}
	if _, err := fresh.Write(text); err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}

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
		Use:     "token",
		Short:   "Fetch a JWT-SVID; prints the token alone",
		Example: "  concord svid token --audience spiffe://bank.example/ledger",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(audience) == 0 {
				return usageError{fmt.Errorf("give --audience: who the token is for")}
			}
			params := jwtsvid.Params{Audience: audience[0], ExtraAudiences: audience[1:]}
			if id != "" {
				subject, err := spiffeid.FromString(id)
				if err != nil {
					return usageError{fmt.Errorf("--spiffe-id: %w", err)}
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
		Example: `  concord svid validate --audience spiffe://acme.example/api eyJhbGciOi…
  concord svid validate partner.pem`,
		Args: wantArgs("TOKEN|FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if looksLikeToken(args[0]) {
				return validateToken(c, &w, audience, args[0])
			}
			return validateFile(c, &w, args[0])
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
		return usageError{fmt.Errorf("give --audience: whom the token must be for")}
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

func validateFile(c *cobra.Command, w *caller, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the SVID: %w", err)
	}
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
	bundles, err := ask(c, w, func(ctx context.Context, api *workloadapi.Client) (*workloadapi.X509Context, error) {
		return api.FetchX509Context(ctx)
	})
	if err != nil {
		return err
	}
	id, chains, err := x509svid.Verify(chain, bundles.Bundles)
	if err != nil {
		return fmt.Errorf("%s is not valid for this workload: %w", name, err)
	}
	root := chains[0][len(chains[0])-1]
	shown := x509Identity{SPIFFEID: id.String(), NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter, Chain: string(text)}
	return w.print(c, shown, func(out io.Writer) {
		lines(out, "Valid", id, "Ends", when(chain[0].NotAfter), "Authority", fmt.Sprintf("%x", root.SubjectKeyId))
	})
}
