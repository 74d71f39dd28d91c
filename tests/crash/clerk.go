package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
)

// request is one thing that a clerk asks of a node.
type request struct {
	what string
	// chains are what it changes. A request that must be refused has none.
	chains []chain
	// mayRefuse says that the node may have a reason to refuse it.
	mayRefuse bool
	// ask sends it, and returns an answer for each chain, or the one refusal.
	ask func(context.Context, *door) []answer
}

// answer is what came of one chain.
type answer struct {
	err      error
	receipts []receipt
	learned  step // what only the answer says
}

// receipt is what the audit trail must have from now on.
type receipt struct {
	index   uint64 // of the log
	subject string
}

// clerk changes records that nobody else changes, one request at a time.
type clerk struct {
	name     string
	prefixes []string // of the names of its records
	random   *rand.Rand
	book     book
	receipts []receipt // since they were last looked for
	wrong    []string  // answers that must not be
	counter  int
	// next decides what to ask for.
	next func(context.Context, *door) (request, error)
	// adopt reports whether a record that the clerk did not make may be there.
	adopt func(name, value string) bool
}

func newClerk(name string, random *rand.Rand, prefixes ...string) *clerk {
	return &clerk{name: name, random: random, prefixes: prefixes, book: book{kept: map[string]string{}}}
}

// owns reports whether a record is the clerk's.
func (c *clerk) owns(name string) bool {
	for _, prefix := range c.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// work asks for one thing after another, until a request stays without an
// answer; acknowledged is told of each chain that was. The error is why there
// was no answer.
func (c *clerk) work(ctx context.Context, d *door, acknowledged func()) error {
	for {
		r, err := c.next(ctx, d)
		if err != nil {
			return err
		}
		c.book.begin(r.chains)
		for i, a := range r.ask(ctx, d) {
			switch judge(a.err) {
			case done:
				c.accepted(r, i, a)
				acknowledged()
			case refused:
				c.book.refused(i)
				if len(r.chains) > 0 && !r.mayRefuse {
					c.wrong = append(c.wrong, fmt.Sprintf("%s: %s was refused: %v", c.name, r.what, a.err))
				}
			case unknown:
				err = a.err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *clerk) accepted(r request, i int, a answer) {
	if len(r.chains) == 0 {
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %s was accepted, and must be refused", c.name, r.what))
		return
	}
	c.book.done(i)
	take(c.book.kept, a.learned)
	c.receipts = append(c.receipts, a.receipts...)
}

// check compares the records of a node with what the clerk was told.
func (c *clerk) check(found map[string]string) (wrong []string, begun int) {
	if c.adopt != nil {
		for name, value := range found {
			if c.book.kept[name] == "" && !c.asked(name) && c.adopt(name, value) {
				c.book.kept[name] = value
			}
		}
	}
	wrong, begun = c.book.compare(found)
	wrong, c.wrong = append(c.wrong, wrong...), nil
	return wrong, begun
}

// asked reports whether the request under way is about a record.
func (c *clerk) asked(name string) bool {
	for _, chain := range c.book.open {
		for _, s := range chain {
			if _, ok := s[name]; ok {
				return true
			}
		}
	}
	return false
}

// chance is true in so many of a hundred cases.
func (c *clerk) chance(percent int) bool { return c.random.IntN(100) < percent }

// count returns a number that the clerk never had before.
func (c *clerk) count() int {
	c.counter++
	return c.counter
}

// verdict is what an answer says about what was asked for.
type verdict uint8

const (
	unknown verdict = iota // it may be done, or not, or later
	done
	refused
)

// judge tells a refusal, after which nothing may be changed, from an answer
// that leaves it open.
func judge(err error) verdict {
	var no *client.Refused
	switch {
	case err == nil:
		return done
	case errors.As(err, &no):
		switch no.Code {
		case "invalid_argument", "not_found", "already_exists", "failed_precondition", "permission_denied", "resource_exhausted", "aborted":
			return refused
		}
		return unknown
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.PermissionDenied, codes.ResourceExhausted, codes.Aborted:
		return refused
	}
	return unknown
}
