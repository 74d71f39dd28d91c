package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
)

func svidCommand() *cobra.Command {
	return group("svid", "SVIDs: what this process gets from the Workload API, and what an operator mints",
		svidFetch(), svidWatch(), svidWrite(), svidToken(), svidValidate(), svidMint())
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
			answer, err := fetchX509(c, &w)
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

func fetchX509(c *cobra.Command, w *caller) (*workloadapi.X509Context, error) {
	return ask(c, w, func(ctx context.Context, api *workloadapi.Client) (*workloadapi.X509Context, error) {
		return api.FetchX509Context(ctx)
	})
}

func svidWatch() *cobra.Command {
	var w caller
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print this process's X.509-SVIDs and bundles each time they change, until Ctrl-C",
		Example: `  concord svid watch
  concord svid watch -o json | jq -c .bundles`,
		Args: noArgs,
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
			return w.inWords(err)
		},
	}
	w.bindSocket(c)
	return c
}

// watcher prints what a stream tells.
type watcher struct {
	c *cobra.Command
	w *caller
}

func (w *watcher) OnX509ContextUpdate(answer *workloadapi.X509Context) {
	shown := showX509(answer)
	// Nothing to do about an output that is not read any more.
	_ = w.w.printNext(w.c, shown, func(out io.Writer) {
		fmt.Fprintln(out, time.Now().UTC().Format(time.RFC3339))
		describeX509(out, shown)
	})
}

func (w *watcher) OnX509ContextWatchError(err error) {
	if w.c.Context().Err() == nil {
		fmt.Fprintf(w.c.ErrOrStderr(), "concord: %s; trying again\n", printable(w.w.inWords(err).Error()))
	}
}

func svidMint() *cobra.Command {
	return group("mint", "Have an SVID signed that no entry stands for (admin socket)", mintX509(), mintJWT())
}

// minted is what is asked for on the command line of both kinds.
type minted struct {
	operator
	id  string
	ttl time.Duration
}

func (m *minted) bind(c *cobra.Command) {
	c.Flags().StringVar(&m.id, "spiffe-id", "", "SPIFFE ID in this trust domain")
	c.Flags().DurationVar(&m.ttl, "ttl", 0, "how long it lives (default: the domain's)")
}

func (m *minted) life() client.Duration { return client.Duration(m.ttl) }
