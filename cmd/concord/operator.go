package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

// Environment variables that name a node's sockets.
const (
	adminSocketVariable    = "CONCORD_SOCKET"
	workloadSocketVariable = "CONCORD_WORKLOAD_SOCKET"
)

// operator is what every command has in common that asks a node over its admin
// socket.
type operator struct {
	output
	socket  string
	timeout time.Duration
	cause   string
	dryRun  bool
}

// bindNode adds the flags that say which node, and how its answer is shown.
func (o *operator) bindNode(c *cobra.Command) {
	socket := os.Getenv(adminSocketVariable)
	if socket == "" {
		socket = "concord-data/admin.sock"
	}
	c.Flags().StringVar(&o.socket, "socket", socket, "the node's admin socket ("+adminSocketVariable+")")
	o.output.bind(c)
}

// bindRead adds the flags of a verb that changes nothing.
func (o *operator) bindRead(c *cobra.Command) {
	o.bindNode(c)
	c.Flags().DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for the node's answer")
}

// bindWrite adds the flags of a verb that changes something.
func (o *operator) bindWrite(c *cobra.Command) {
	o.bindRead(c)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would change, and change nothing")
	c.Flags().StringVar(&o.cause, "cause", "", "why, for the audit trail (default: this command's name)")
}

// client returns a client whose requests carry their cause.
func (o *operator) client(c *cobra.Command) *client.Client {
	if o.cause != "" {
		return client.New(o.socket, o.cause)
	}
	return client.New(o.socket, c.CommandPath())
}

// ask makes one request and waits for its answer as long as --timeout says.
func (o *operator) ask(c *cobra.Command, method, path string, query url.Values, in, out any) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := checkSocket(o.socket); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), o.timeout)
	defer cancel()
	// net/http would tell the process's log of a server that speaks before it is
	// asked; the person is told below.
	log.SetOutput(io.Discard)
	err := o.client(c).Do(ctx, method, path, query, in, out)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("the node at %s did not answer within %s: try again, or with a longer --timeout; the node's log says what it does", o.socket, o.timeout)
	case ctx.Err() != nil:
		return err
	case !errors.As(err, new(*client.Refused)) && speaksFirst(o.socket):
		return fmt.Errorf("%s is no admin socket: it may be a node's Workload API; the other one is admin.sock beside it", o.socket)
	}
	return err
}

// speaksFirst reports whether a socket's server sends HTTP/2 settings before it
// is asked anything (RFC 9113 §3.4): a Workload API does, an admin socket not.
// It is asked when a request has failed and it is not clear why.
func speaksFirst(socket string) bool {
	const patience = 300 * time.Millisecond
	conn, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return false
	}
	defer conn.Close()
	frame := make([]byte, 9)
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, frame)
	return err == nil && frame[3] == settingsFrame
}

// settingsFrame is the type of the first frame of HTTP/2 (RFC 9113 §6.5).
const settingsFrame = 4

// maxSocketPath is the longest path of a socket that Linux takes (unix(7)).
const maxSocketPath = 107

func checkSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the socket's path %s has %d bytes, and the system takes %d: make a shorter symbolic link to its directory, and name it by that", path, len(path), maxSocketPath)
	}
	return nil
}

// show is the work of a verb that reads: one document, and how to print it.
func show[T any](c *cobra.Command, o *operator, path string, text func(w io.Writer, answer T)) error {
	var answer T
	if err := o.ask(c, http.MethodGet, path, nil, nil, &answer); err != nil {
		return err
	}
	return o.print(c, answer, func(w io.Writer) { text(w, answer) })
}

// change is the work of a verb that writes: what it does to what, and the
// difference.
func change[T any](c *cobra.Command, o *operator, method, path string, query url.Values, in any, verb, subject string) error {
	var out client.Outcome[T]
	if err := o.ask(c, method, path, o.query(query), in, &out); err != nil {
		return err
	}
	return o.print(c, out, func(w io.Writer) { printOutcome(w, verb, subject, out) })
}

// query adds --dry-run to a query.
func (o *operator) query(q url.Values) url.Values {
	if q == nil {
		q = url.Values{}
	}
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

// pageSize is the most that a node answers with.
const pageSize = "1000"

// pages reads a whole listing; take returns the next page's token.
func pages[T any](c *cobra.Command, o *operator, resource string, query url.Values, take func(T) string) error {
	query.Set("page_size", pageSize)
	for {
		var page T
		if err := o.ask(c, http.MethodGet, client.Path(resource), query, nil, &page); err != nil {
			return err
		}
		next := take(page)
		if next == "" {
			return nil
		}
		query.Set("page_token", next)
	}
}
