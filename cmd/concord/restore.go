package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/node"
)

func clusterRestore() *cobra.Command {
	var o output
	var in node.Restoring
	var name, published string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a node from a backup, when the cluster is lost",
		Long: `Make, in an empty data directory, a node that goes on with what is in the backup
FILE: the same trust domain, authorities, entries and relationships. It is alone in
its cluster: all former members are removed, and must never be started again; new
ones join with a token. No node is running meanwhile; run this as the node's user.

--published is the domain's bundle as others hold it now: from a partner (concord
bundle show DOMAIN --format spiffe), a cache of the bundle endpoint, an agent. The
sequence of the restored bundle is not below it, and keys that are in it and not in
the backup stay published until they end. It is believed: take it from where you
would take a bundle to trust. A backup whose keys have all been replaced since is
refused; --new-trust makes new ones, which partners have to learn of.`,
		Example: `  concord cluster restore acme.backup --data-dir /var/lib/concord --kek kek.copy --published acme.json --dry-run
  concord cluster restore acme.backup --kek kek.copy --without-published`,
		Args: wantArgs("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if published != "" && in.WithoutPublished {
				return misused("--published and --without-published exclude each other")
			}
			if published != "" {
				text, err := readFile(c, published)
				if err != nil {
					return fmt.Errorf("read the published bundle: %w", err)
				}
				in.Published = text
			}
			return restoreBackup(c, &o, in, args[0], name)
		},
	}
	defaults := node.Defaults()
	c.Flags().SortFlags = false
	c.Flags().StringVar(&in.DataDir, "data-dir", defaults.DataDir, "where the node will keep what it has; empty, or not there")
	c.Flags().StringVar(&name, "node-name", defaults.NodeName, "the name that the node will be run with")
	c.Flags().StringVar(&in.KEK, "kek", "", "file with the key-encryption key, which is copied (default: CONCORD_KEK, which is not)")
	c.Flags().StringVar(&published, "published", "", "file with the domain's bundle as others hold it now; - is standard input")
	c.Flags().BoolVar(&in.WithoutPublished, "without-published", false, "nobody has that bundle any more")
	c.Flags().BoolVar(&in.NewTrust, "new-trust", false, "begin with new keys: the backup's are lost, or not trusted any more")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "say what would be, and write nothing")
	c.Flags().StringVar(&in.Cause, "cause", "", "why, for the audit trail (default: this command's name)")
	o.bind(c)
	return c
}

func restoreBackup(c *cobra.Command, o *output, in node.Restoring, name, as string) error {
	file, size, err := openBackup(name)
	if err != nil {
		return err
	}
	defer file.Close()
	in.Backup, in.Size = file, size
	in.Actor = fmt.Sprintf("unix:uid=%d,gid=%d,pid=%d", os.Getuid(), os.Getgid(), os.Getpid())
	if in.Cause == "" {
		in.Cause = c.CommandPath()
	}
	done, err := node.Restore(in)
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	return o.print(c, done, func(w io.Writer) { describeRestored(w, done, name, as) })
}

func describeRestored(w io.Writer, r node.Restored, name, as string) {
	if r.DryRun {
		fmt.Fprintf(w, "Dry run: would restore %s into %s; nothing was written.\n", cell(name), cell(r.DataDir))
	} else {
		fmt.Fprintf(w, "Restored %s into %s.\n", cell(name), cell(r.DataDir))
	}
	lines(w, "Trust domain", r.Backup.TrustDomain, "Cluster", r.Backup.ClusterID, "Log", fmt.Sprintf("index %d", r.Index),
		"Has", counted(r.Backup.Entries, "entry", "entries")+", "+count(r.Backup.Relationships, "relationship")+", "+count(r.Backup.Bundles, "bundle"),
		"Sequence", sequences(r), "Members", removedMembers(r))
	if r.KEK != "" {
		lines(w, "Key-encryption key", r.KEK)
	}
	for _, a := range r.Authorities {
		row(w, "Authority "+a.Use, a.ID+": "+fate(a))
	}
	if !r.DryRun {
		fmt.Fprintf(w, "Start it, and let others join:\n  concord node run --trust-domain %s --data-dir %s --node-name %s\n  concord cluster token NAME\n", r.Backup.TrustDomain, cell(r.DataDir), cell(as))
	}
}

func sequences(r node.Restored) string {
	if r.Published == 0 {
		return fmt.Sprintf("%d, in the backup %d", r.Sequence, r.Backup.Sequence)
	}
	return fmt.Sprintf("%d, in the backup %d, published %d", r.Sequence, r.Backup.Sequence, r.Published)
}

func removedMembers(r node.Restored) string {
	if len(r.Removed) == 0 {
		return "none was known"
	}
	return "removed for ever: " + strings.Join(r.Removed, ", ")
}

// fate is what becomes of an authority.
func fate(a node.RestoredAuthority) string {
	switch {
	case a.Was == "" && a.Is == "old":
		return "published until it ends, without its private key: the backup does not have it"
	case a.Was == "":
		return "new, " + a.Is
	case a.Is == "":
		return "gone: it is not published any more"
	case a.Is == a.Was:
		return a.Is
	}
	return a.Was + " → " + a.Is
}
