package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
)

func auditCommand() *cobra.Command {
	return group("audit", "The audit trail: who changed what, why and when, or was refused",
		auditList(), auditShow(), auditFollow(), auditVerify())
}

// auditFlags say which records are wanted.
type auditFlags struct {
	actor, kind, subject, requestID, since, until string
	refused                                       bool
	after, before                                 uint64
}

func (f *auditFlags) bind(c *cobra.Command) {
	c.Flags().SortFlags = false
	c.Flags().StringVar(&f.actor, "actor", "", "only what this actor did; a * at the end stands for the rest, as in unix:uid=0,*")
	c.Flags().StringVar(&f.kind, "kind", "", "only this kind of change, such as put_entry; may end in *")
	c.Flags().StringVar(&f.subject, "subject", "", "only what is about this, such as bundle/bank.example; may end in *")
	c.Flags().StringVar(&f.requestID, "request-id", "", "only the change that this request made")
	c.Flags().BoolVar(&f.refused, "refused", false, "only what was refused")
	c.Flags().Uint64Var(&f.after, "after", 0, "only records behind this log index")
}

func (f *auditFlags) bindRange(c *cobra.Command) {
	f.bind(c)
	c.Flags().Uint64Var(&f.before, "before", 0, "only records in front of this log index")
	c.Flags().StringVar(&f.since, "since", "", "only records of this time or later: RFC 3339, or how long ago")
	c.Flags().StringVar(&f.until, "until", "", "only records earlier than this: RFC 3339, or how long ago")
}

func (f *auditFlags) query() (url.Values, error) {
	q := url.Values{}
	set(q, "actor", f.actor)
	set(q, "kind", f.kind)
	set(q, "subject", f.subject)
	set(q, "request_id", f.requestID)
	if f.refused {
		q.Set("refused", "true")
	}
	set(q, "after", number(f.after))
	set(q, "before", number(f.before))
	for flag, text := range map[string]string{"since": f.since, "until": f.until} {
		if text == "" {
			continue
		}
		t, err := moment(flag, text, -1)
		if err != nil {
			return nil, err
		}
		q.Set(flag, t.Format(time.RFC3339Nano))
	}
	return q, nil
}

func auditList() *cobra.Command {
	var o operator
	var f auditFlags
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List the newest records, the oldest of them first",
		Example: `  concord audit list
  concord audit list --since 24h --subject 'bundle/*'
  concord audit list --refused --limit 1000 -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query, err := f.query()
			if err != nil {
				return err
			}
			query.Set("limit", strconv.Itoa(limit))
			var all client.AuditRecords
			if err := o.ask(c, http.MethodGet, client.Path("audit"), query, nil, &all); err != nil {
				return err
			}
			return o.print(c, all, func(w io.Writer) {
				row(w, "INDEX", "AT", "ACTOR", "KIND", "SUBJECT", "RESULT")
				for _, r := range all.Records {
					row(w, r.Index, stamp(r.At), r.Actor, r.Kind, r.Subject, result(r))
				}
			})
		},
	}
	f.bindRange(c)
	c.Flags().IntVar(&limit, "limit", 100, "the newest so many, at most 10000")
	o.bindRead(c)
	return c
}

// stamp is the moment of a record, to the millisecond.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }

// result is what became of a change: the fields that differ, or why not.
func result(r client.AuditRecord) string {
	if r.Refused != "" {
		return "refused: " + r.Refused
	}
	seen := map[string]bool{}
	var names []string
	for _, f := range r.Fields {
		if !seen[f.Name] {
			seen[f.Name] = true
			names = append(names, f.Name)
		}
	}
	const most = 4
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

func auditShow() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:     "show INDEX",
		Short:   "Show the record of a log index: every field, before and after",
		Example: "  concord audit show 42",
		Args:    wantArgs("INDEX"),
		RunE: func(c *cobra.Command, args []string) error {
			index, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || index == 0 || index+1 == 0 {
				return misused("%q is not a log index: concord audit list has them", args[0])
			}
			query := url.Values{"after": {fmt.Sprint(index - 1)}, "before": {fmt.Sprint(index + 1)}}
			var found client.AuditRecords
			if err := o.ask(c, http.MethodGet, client.Path("audit"), query, nil, &found); err != nil {
				return err
			}
			if len(found.Records) == 0 {
				return fmt.Errorf("there is no record of index %d: the log's own entries have none; concord audit list has those that there are", index)
			}
			return o.print(c, found.Records[0], func(w io.Writer) { describeRecord(w, found.Records[0]) })
		},
	}
	o.bindRead(c)
	return c
}

func describeRecord(w io.Writer, r client.AuditRecord) {
	lines(w, "Index", r.Index, "At", stamp(r.At), "Actor", r.Actor, "Cause", r.Cause, "Request", r.RequestID, "Kind", r.Kind, "Subject", r.Subject)
	if r.Refused != "" {
		lines(w, "Refused", r.Refused, "Because", r.Detail)
	}
	lines(w, "Chain", r.Head)
	before, after := map[string]string{}, map[string]string{}
	for _, f := range r.Fields {
		name := f.Name
		if f.Record != r.Subject {
			name = f.Record + " " + name
		}
		before[name], after[name] = f.Before, f.After
	}
	if len(r.Fields) > 0 {
		printDifference(w, before, after)
	}
}

func auditFollow() *cobra.Command {
	var o operator
	var f auditFlags
	c := &cobra.Command{
		Use:   "follow",
		Short: "Print each record as it comes, until Ctrl-C",
		Long: `Print each record as it comes, until Ctrl-C. With --after the records behind
that index come first, so that nothing is missed: with -o json each is a line of
its own whose "index" is where to go on.`,
		Example: `  concord audit follow
  concord audit follow --after 42 -o json >> audit.jsonl`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query, err := f.query()
			if err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			if err := checkSocket(o.socket); err != nil {
				return err
			}
			query.Set("follow", "true")
			err = client.Stream(c.Context(), o.client(c), client.Path("audit"), query, func(r client.AuditRecord) error {
				return o.printNext(c, r, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %d  %s  %s  %s  %s\n", stamp(r.At), r.Index, cell(r.Actor), cell(r.Kind), cell(r.Subject), cell(result(r)))
				})
			})
			if c.Context().Err() != nil {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("the node at %s has ended the trail: it is stopping; follow it again with --after", o.socket)
			}
			return err
		},
	}
	f.bind(c)
	o.bindNode(c)
	return c
}

func printVerified(w io.Writer, v client.AuditVerified) {
	if len(v.Missing) == 0 {
		fmt.Fprintf(w, "The audit trail is whole: %d records.\n", v.Records)
	} else {
		fmt.Fprintf(w, "The audit trail is sound: %d records.\n", v.Records)
	}
	if v.Restored > 0 {
		fmt.Fprintf(w, "It begins with the restore of a backup of log entry %d.\n", v.Restored)
	}
	for _, g := range v.Missing {
		fmt.Fprintf(w, "Log entries %d to %d are not in it: %s. Other members have them.\n", g.From, g.Until, g.Reason)
	}
}

func auditVerify() *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that no record of this node's trail was taken away or changed",
		Long: `Check that no record of this node's trail was taken away or changed: each is
chained to the one before it, and the last to what all nodes agree on. Fails and
says where if the chain is broken. A node that joined, or was long away, was given
the state by a snapshot: it says which records only other members have.`,
		Example: "  concord audit verify",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v client.AuditVerified
			if err := o.ask(c, http.MethodGet, client.Path("audit", "verify"), nil, nil, &v); err != nil {
				return err
			}
			return o.print(c, v, func(w io.Writer) { printVerified(w, v) })
		},
	}
	o.bindRead(c)
	return c
}
