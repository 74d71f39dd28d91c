package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// output is how an answer is shown: the flag -o.
type output struct{ format string }

func (o *output) bind(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "text", "text or json")
	choices(c, "output", "text", "json")
}

// check refuses a format that there is not, before anything is asked for.
func (o *output) check() error {
	if o.format != "text" && o.format != "json" {
		return misused("--output %q: choose text or json", o.format)
	}
	return nil
}

// print writes an answer as JSON, or as text does: rows and lines are aligned.
func (o *output) print(c *cobra.Command, answer any, text func(w io.Writer)) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.format == "json" {
		encoder := newEncoder(c.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// printNext writes one of many answers that come over time. As JSON it is a
// line of its own, so that whoever reads it line by line can.
func (o *output) printNext(c *cobra.Command, answer any, text func(w io.Writer)) error {
	if o.format == "json" {
		return newEncoder(c.OutOrStdout()).Encode(answer)
	}
	return o.print(c, answer, text)
}

func newEncoder(w io.Writer) *json.Encoder {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder
}

// lines prints one field a line.
func lines(w io.Writer, pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(w, "%s\t%s\n", pairs[i], cell(pairs[i+1]))
	}
}

// row prints a line of a table.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// cell is a value as it stands in a table: never empty, and on one line.
func cell(value any) string {
	text := strings.Join(strings.Fields(printable(strings.TrimSpace(fmt.Sprint(value)))), " ")
	if text == "" {
		return "-"
	}
	return text
}

// printable writes out what a terminal would obey instead of show: part of
// what is printed here was written by peers and workloads. Only the end of a
// line stays what it is.
func printable(text string) string {
	obeyed := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	text = strings.ToValidUTF8(text, "�")
	if !strings.ContainsFunc(text, obeyed) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if obeyed(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}
