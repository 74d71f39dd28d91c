package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// caller is what every command has in common that uses the Workload API.
type caller struct {
	output
	socket  string
	timeout time.Duration
}

func (w *caller) bindSocket(c *cobra.Command) {
	socket := os.Getenv(workloadSocketVariable)
	if socket == "" {
		socket = "concord-data/workload.sock"
	}
	c.Flags().StringVar(&w.socket, "socket", socket, "the Workload API's socket ("+workloadSocketVariable+")")
	w.output.bind(c)
}

func (w *caller) bind(c *cobra.Command) {
	w.bindSocket(c)
	c.Flags().DurationVar(&w.timeout, "timeout", 10*time.Second, "how long to wait for the answer")
}

// client connects. What is wrong with the socket is found out first: gRPC would
// go on trying.
func (w *caller) client(ctx context.Context) (*workloadapi.Client, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(w.socket)
	if err != nil {
		return nil, err
	}
	if err := checkSocket(absolute); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", absolute)
	if err != nil {
		return nil, w.unreachable(err)
	}
	conn.Close()
	return workloadapi.New(ctx, workloadapi.WithAddr("unix://"+absolute))
}

// unreachable says what to do about a socket that does not answer.
func (w *caller) unreachable(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no Workload API at %s: start a node, or name its socket with --socket or %s", w.socket, workloadSocketVariable)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no permission to use %s: every user may, if the directories above it let them pass", w.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s: the node that made it has ended; start it again", w.socket)
	}
	return fmt.Errorf("connect to the Workload API at %s: %w", w.socket, err)
}

// ask makes one call with the time limit, and says in the node's own words why
// it failed.
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
	switch {
	case err == nil:
		return answer, nil
	case c.Context().Err() != nil:
		return none, c.Context().Err()
	case ctx.Err() != nil:
		return none, fmt.Errorf("the Workload API at %s did not answer within %s: try again, or with a longer --timeout", w.socket, w.timeout)
	}
	return none, w.inWords(err)
}

// inWords takes the message out of a gRPC status.
func (w *caller) inWords(err error) error {
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case s.Code() == codes.Unimplemented:
		return fmt.Errorf("%s has no Workload API: it may be a node's admin socket; the other one is workload.sock beside it", w.socket)
	case s.Code() == codes.Unavailable:
		return fmt.Errorf("the Workload API at %s is not available: %s", w.socket, s.Message())
	}
	return errors.New(s.Message())
}
