package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
)

func clusterBackup() *cobra.Command {
	var o operator
	var force, verify bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the whole state of the cluster to a file, or check such a file",
		Long: `Write the whole state of the cluster, as any member has it, to FILE: entries,
relationships, bundles, agents, settings, and the authorities with their keys as
ciphertext. The key-encryption key is not in it, nor any node's key or join token.
FILE has mode 0600, and its name only when all of it is on disk. FILE - is standard
output.

With --verify no node is asked: an existing FILE is read to its end and checked.`,
		Example: `  concord cluster backup acme.backup
  concord cluster backup --verify acme.backup
  concord cluster backup - | ssh backup@vault.example 'cat > acme.backup'`,
		Args: wantArgs("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			switch file := args[0]; {
			case verify && (force || file == "-"):
				return misused("--verify reads a file: it goes with neither --force nor -")
			case verify:
				return verifyBackup(c, &o, file)
			case file == "-":
				return o.pipeBackup(c)
			default:
				return o.writeBackup(c, file, force)
			}
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	c.Flags().BoolVar(&verify, "verify", false, "check a backup that is there, and say what is in it")
	o.bindNode(c)
	return c
}

// backedUp is a backup that was written or checked.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	node.Backup
}

// download writes a backup of the node to w and says what it is of, if it is whole.
func (o *operator) download(c *cobra.Command, w io.Writer) (backedUp, error) {
	if err := checkSocket(o.socket); err != nil {
		return backedUp{}, err
	}
	check := node.NewBackupCheck()
	if err := o.client(c).Download(c.Context(), client.Path("cluster", "backup"), io.MultiWriter(w, check)); err != nil {
		return backedUp{}, err
	}
	about, size, err := check.End()
	return backedUp{Bytes: size, Backup: about}, err
}

// pipeBackup writes a backup to standard output, and what is in it beside that.
func (o *operator) pipeBackup(c *cobra.Command) error {
	done, err := o.download(c, c.OutOrStdout())
	if err != nil {
		return err
	}
	done.File = "-"
	c.SetOut(c.ErrOrStderr())
	return o.print(c, done, func(w io.Writer) { describeBackup(w, done) })
}

func (o *operator) writeBackup(c *cobra.Command, file string, force bool) (err error) {
	if _, err := os.Lstat(file); !force && !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s is there already: choose another name, or replace it with --force", file)
		}
		return err
	}
	fresh := file + ".tmp"
	out, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTemporary(fresh))
		}
	}()
	err = out.Chmod(0o600) // whatever was there before
	var done backedUp
	if err == nil {
		done, err = o.download(c, out)
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := place(fresh, file, force); err != nil {
		return err
	}
	done.File = file
	return o.print(c, done, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s.\n", cell(file))
		describeBackup(w, done)
	})
}

func removeTemporary(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// place gives a file its name, in the place of what has it only if that is said.
func place(fresh, name string, force bool) error {
	var err error
	if force {
		err = os.Rename(fresh, name)
	} else if err = os.Link(fresh, name); err == nil {
		err = os.Remove(fresh)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func verifyBackup(c *cobra.Command, o *operator, name string) error {
	file, size, err := openBackup(name)
	if err != nil {
		return err
	}
	defer file.Close()
	about, err := node.ReadBackup(file, size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	done := backedUp{name, size, about}
	return o.print(c, done, func(w io.Writer) {
		fmt.Fprintf(w, "%s is whole.\n", cell(name))
		describeBackup(w, done)
	})
}

// openBackup opens a backup, which must be a file: it is read more than once.
func openBackup(name string) (*os.File, int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

func describeBackup(w io.Writer, b backedUp) {
	needs := "no key-encryption key"
	if len(b.KEKs) > 0 {
		needs = "the key-encryption key " + strings.Join(b.KEKs, " and ") + ", which is not in it"
	}
	lines(w,
		"Trust domain", b.TrustDomain,
		"Cluster", b.ClusterID,
		"Made", when(b.At)+" by "+b.Node,
		"Version", b.Version,
		"Size", fmt.Sprintf("%d bytes", b.Bytes),
		"Log", fmt.Sprintf("index %d", b.Index),
		"Bundle", fmt.Sprintf("sequence %d", b.Sequence),
		"Has", strings.Join([]string{counted(b.Entries, "entry", "entries"), count(b.Relationships, "relationship"), count(b.Bundles, "bundle"), count(b.Agents, "agent"), count(b.Members, "member")}, ", "),
		"Needs", needs,
	)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
