package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	return group("config", "Look at configuration files", configCheck())
}

// checked is what is wrong with a file, as -o json shows it.
type checked struct {
	File   string   `json:"file"`
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"`
}

func configCheck() *cobra.Command {
	var o output
	c := &cobra.Command{
		Use:               "check FILE",
		Short:             "Say what is wrong with a configuration file, by line",
		Example:           "  concord config check /etc/concord/concord.yaml",
		Args:              wantArgs("FILE"),
		ValidArgsFunction: arguments(files),
		RunE: func(c *cobra.Command, args []string) error {
			config, wrong := loadConfig(args[0])
			if wrong == nil {
				wrong = config.validate(func(string) bool { return false })
			}
			answer := checked{File: args[0], Valid: wrong == nil, Errors: []string{}}
			if wrong != nil {
				answer.Errors = strings.Split(wrong.Error(), "\n")
			}
			err := o.print(c, answer, func(w io.Writer) {
				if wrong == nil {
					fmt.Fprintf(w, "%s is valid.\n", cell(args[0]))
				}
			})
			if err != nil {
				return err
			}
			return wrong
		},
	}
	o.bind(c)
	return c
}
