package node

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/federation"
)

// Restoring is a backup, and what becomes of it.
type Restoring struct {
	Backup  io.ReaderAt
	Size    int64  // of Backup, in bytes
	DataDir string // empty, or not there
	KEK     string // file with the key-encryption key; "": CONCORD_KEK
	// Published is the domain's bundle document as others hold it now. Without
	// one, WithoutPublished says that there is none to be had.
	Published        []byte
	WithoutPublished bool
	// NewTrust makes new authorities: the keys of the backup are lost, or are not
	// trusted any more.
	NewTrust     bool
	DryRun       bool // everything but the writing
	Actor, Cause string
}

// Restored is what was restored, or on a dry run would be.
type Restored struct {
	Backup  Backup `json:"backup"`
	DataDir string `json:"data_dir"`
	Member  string `json:"member,omitempty"` // the new node's ID; absent on a dry run
	Index   uint64 `json:"index"`            // of the restore
	// Published is the sequence of the bundle that others hold; absent if that was
	// not known. Sequence is that of the restored one.
	Published   uint64              `json:"published,omitempty"`
	Sequence    uint64              `json:"sequence"`
	Authorities []RestoredAuthority `json:"authorities"`
	Removed     []string            `json:"removed_members"` // their names
	// KEK says in words where the key-encryption key is; absent if none is needed.
	KEK    string `json:"kek,omitempty"`
	DryRun bool   `json:"dry_run"`
}

// RestoredAuthority is an authority of the backup or of the restored domain.
type RestoredAuthority struct {
	Use string `json:"use"`
	ID  string `json:"id"`
	Was string `json:"was,omitempty"` // its status in the backup; absent if it is not in it
	Is  string `json:"is,omitempty"`  // absent if it is not published any more
}

// Restore makes in an empty data directory a node that is alone in its cluster,
// whose state is the backup's. It is not started. After an error nothing is left
// in the directory.
func Restore(o Restoring) (Restored, error) {
	out := Restored{DataDir: o.DataDir, DryRun: o.DryRun}
	dir := dataDir(o.DataDir)
	if err := dir.empty(); err != nil {
		return out, err
	}
	var view *state.View
	var err error
	if out.Backup, view, err = replica.ReadBackup(o.Backup, o.Size); err != nil {
		return out, err
	}
	if o.Published == nil && !o.WithoutPublished {
		return out, errUnpublished(out.Backup.TrustDomain)
	}
	kek, err := o.openKEK(view)
	if err != nil {
		return out, err
	}
	defer clear(kek.bytes)
	after, record, err := o.recover(view, kek, &out)
	if err != nil {
		return out, err
	}
	out.tell(view, after, kek, dir)
	if o.DryRun {
		return out, nil
	}
	id, err := dir.establish(after, view.AuditHead(), record, kek.bytes)
	out.Member = string(id)
	return out, err
}

func errUnpublished(domain string) error {
	return fmt.Errorf("give the bundle of %s as others hold it now (--published FILE): what it has, and the backup lacks, must stay trusted, and its sequence must not go back. "+
		"Get it from a partner (concord bundle show %s --format spiffe), from what caches your bundle endpoint (curl), or from another member that still runs; "+
		"if nobody has it any more, say so with --without-published", domain, domain)
}

// recover makes the state of the restored domain.
func (o Restoring) recover(view *state.View, kek restoredKEK, out *Restored) (*state.View, state.AuditRecord, error) {
	domain, _ := view.Domain()
	var r state.Recovery
	if o.Published != nil {
		live, _, err := federation.Parse(domain.TrustDomain, o.Published)
		if err != nil {
			return nil, state.AuditRecord{}, fmt.Errorf("the published bundle: %w", err)
		}
		r.Live, out.Published = live, live.Sequence
	}
	home := issue.Domain{Keys: kek.sealed, Cluster: domain.ClusterID, TrustDomain: domain.TrustDomain, KeyType: ca.DefaultKeyType}
	if o.NewTrust {
		var err error
		if r.NewTrust, err = newTrust(home, view); err != nil {
			return nil, state.AuditRecord{}, err
		}
	}
	act := broker.Act{Actor: o.Actor, Cause: o.Cause, RequestID: newUUID(), At: time.Now()}
	after, record, err := view.Recover(act, r)
	if err != nil {
		return nil, record, err
	}
	return after, record, opens(home, after)
}

// newTrust makes authorities of the kinds that the domain has.
func newTrust(home issue.Domain, view *state.View) ([]ca.Authority, error) {
	settings, _ := view.Domain()
	var all []ca.Authority
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range view.Authorities(use) {
			if a.Status == ca.Active {
				home.KeyType = a.KeyType
			}
		}
		for _, status := range []ca.Status{ca.Active, ca.Prepared} {
			a, err := home.NewAuthority(use, settings.Settings.RootTTL, time.Now())
			if err != nil {
				return nil, err
			}
			a.Status = status
			all = append(all, a)
		}
	}
	return all, nil
}

// opens refuses keys that the node could not open when it is started. Keys that
// are lost are replaced then.
func opens(home issue.Domain, view *state.View) error {
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range view.Authorities(use) {
			if a.Status == ca.Old || keys.KEKOf(a.Sealed) == "" {
				continue
			}
			if _, err := home.Open(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell says what is different.
func (out *Restored) tell(before, after *state.View, kek restoredKEK, dir dataDir) {
	out.Index, out.Sequence, out.Removed = after.Index(), after.Own().Bundle.Sequence, []string{}
	for m := range before.Members() {
		out.Removed = append(out.Removed, m.Name)
	}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range before.Authorities(use) {
			told := RestoredAuthority{Use: use.String(), ID: a.ID, Was: a.Status.String()}
			if now, kept := after.Authority(use, a.ID); kept {
				told.Is = now.Status.String()
			}
			out.Authorities = append(out.Authorities, told)
		}
		for _, a := range after.Authorities(use) {
			if _, had := before.Authority(use, a.ID); !had {
				out.Authorities = append(out.Authorities, RestoredAuthority{Use: use.String(), ID: a.ID, Is: a.Status.String()})
			}
		}
	}
	switch {
	case kek.bytes != nil:
		out.KEK = "the file " + dir.kek()
	case kek.sealed != nil:
		out.KEK = kek.sealed.Source()
	}
}

// restoredKEK is the key-encryption key of the restored domain.
type restoredKEK struct {
	sealed *keys.Sealed // nil if nothing is sealed
	bytes  []byte       // to be kept in the data directory; nil if it is provided in another way
}

// openKEK finds the key-encryption key. With NewTrust there may be none: then it
// is made.
func (o Restoring) openKEK(view *state.View) (k restoredKEK, err error) {
	text, provided := os.LookupEnv(kekVariable)
	switch {
	case provided && o.KEK != "":
		return k, fmt.Errorf("%s is set, and --kek names a file: give the key-encryption key in one way, the one in which the node will be given it", kekVariable)
	case provided:
		k.sealed, err = keys.NewSealedFromText(text, kekVariable)
		return k, err
	case o.KEK != "":
		if k.bytes, err = keys.ReadKEK(o.KEK); err != nil {
			return k, err
		}
	case o.NewTrust:
		k.bytes = make([]byte, keys.KEKBytes)
		rand.Read(k.bytes) // never fails (crypto/rand)
	default:
		if needed := neededKEKs(view); len(needed) > 0 {
			return k, fmt.Errorf("the authorities in the backup are sealed with the key-encryption key %s, which is not in a backup: give the copy that was kept apart (--kek FILE, or %s); if it is lost, begin with new keys (--new-trust)",
				strings.Join(needed, ", "), kekVariable)
		}
		return k, nil
	}
	source := "the file " + o.KEK
	if o.KEK == "" {
		source = "this restore"
	}
	k.sealed, err = keys.NewSealedFromText(base64.StdEncoding.EncodeToString(k.bytes), source)
	return k, err
}
