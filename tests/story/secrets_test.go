package story

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/tests/world"
)

// RELIABILITY row 18: whatever the umask is.
func TestNobodyElseReadsPrivateFilesWhateverTheUmask(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(world.Dir(t), "d")
	args := append([]string{"-c", `umask 000 && exec "$0" "$@"`, world.Binary(t, "cmd/concord")}, world.Args("acme.example", dir)...)
	node := world.Spawn(t, nil, "sh", args...)
	node.Up()
	admin := world.OperatorAt(t, filepath.Join(dir, "admin.sock"))
	admin.Register(client.Entry{SPIFFEID: "spiffe://acme.example/billing"})
	admin.Turn("x509")

	private := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.Contains(path+"/", "/private/") {
			private++
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", path, info.Mode())
			}
		}
		if info.Mode().Perm()&0o022 != 0 && d.Name() != "workload.sock" {
			t.Errorf("others may write %s: %s", path, info.Mode())
		}
		return nil
	})
	if err != nil || private < 6 {
		t.Errorf("%d private files, %v", private, err)
	}
	for name, want := range map[string]fs.FileMode{
		"": 0o711 | fs.ModeDir, "private": 0o700 | fs.ModeDir, "private/raft": 0o700 | fs.ModeDir, "private/audit": 0o700 | fs.ModeDir,
		"private/kek": 0o600, "admin.sock": 0o600 | fs.ModeSocket, "workload.sock": 0o666 | fs.ModeSocket, "addresses.json": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v, want %s", name, info.Mode(), err, want)
		}
	}
}

// secret is bytes that must not be found in clear.
type secret struct {
	what  string
	bytes []byte
}

// in reports whether a secret stands in text, as it is or in a usual encoding.
func (s secret) in(text []byte) bool {
	if bytes.Contains(text, s.bytes) || bytes.Contains(bytes.ToLower(text), []byte(hex.EncodeToString(s.bytes))) {
		return true
	}
	// In base64 it may begin at each of three places.
	for skip := range 3 {
		whole := s.bytes[skip : skip+(len(s.bytes)-skip)/3*3]
		if bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(whole))) || bytes.Contains(text, []byte(base64.RawURLEncoding.EncodeToString(whole))) {
			return true
		}
	}
	return false
}

func TestASecretIsFoundInEveryEncoding(t *testing.T) {
	s := secret{"a key", make([]byte, 32)}
	rand.Read(s.bytes)
	for _, before := range []string{"", "a", "ab", "abc"} {
		clear := append([]byte(before), s.bytes...)
		for _, text := range []string{string(clear), hex.EncodeToString(clear), strings.ToUpper(hex.EncodeToString(clear)), base64.StdEncoding.EncodeToString(clear), base64.RawURLEncoding.EncodeToString(clear)} {
			if !s.in([]byte("x" + text + "y")) {
				t.Errorf("not found in %q", text)
			}
		}
	}
}

// scalar is the secret part of an EC key.
func scalar(t *testing.T, what string, key crypto.Signer) secret {
	t.Helper()
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("%s is %T", what, key)
	}
	d, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return secret{what, d}
}

// opened are the private keys of the authorities of a stopped node.
func opened(t *testing.T, n *world.Node) []secret {
	t.Helper()
	dir := filepath.Join(world.Dir(t), "d")
	copyTree(t, n.Config.DataDir, dir)
	r, err := replica.Open(t.Context(), replica.Options{Dir: filepath.Join(dir, "private", "raft"), ListenAddr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.WaitLeading(world.Soon(t)); err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.NewSealed(filepath.Join(dir, "private", "kek"))
	if err != nil {
		t.Fatal(err)
	}
	domain, _ := r.View().Domain()
	var found []secret
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range r.View().Authorities(use) {
			key, err := sealed.Open(ca.Binding{Cluster: domain.ClusterID, TrustDomain: domain.TrustDomain, Use: use, Authority: a.ID}, a.Sealed)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, scalar(t, "the key of "+use.String()+" authority "+a.ID, key))
		}
	}
	return found
}

// RELIABILITY rows 18 and 20: no key and no token in clear, in files other
// than the key-encryption key's own, nor in anything that a node says.
func TestSecretsStayHome(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	admin, ctx := n.Admin(), world.Soon(t)
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	svid, err := n.X509Source().GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	token, err := n.Client().FetchJWTSVID(ctx, jwtsvid.Params{Audience: "ledger"})
	if err != nil {
		t.Fatal(err)
	}
	minted, err := svidv1.NewSVIDClient(n.Dial("admin.sock")).MintJWTSVID(ctx, &svidv1.MintJWTSVIDRequest{Id: spireID(n, "/db"), Audience: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	// A URL with a password is refused, and not repeated; what a query holds is nobody's business.
	bank := world.NewPeer(t, "bank.example", "https_web")
	r := bank.Relationship()
	r.URL = "https://user:canary-password@bank.example/"
	words := world.Refused(t, admin.Try(http.MethodPost, client.Path("federation"), nil, r, nil), "invalid_argument")
	r.URL = bank.URL + "?token=canary-query"
	admin.Relate(r)
	bank.Say("canary-body")
	refreshed := admin.Refresh(bankDomain)
	bank.Honest()
	bank.PrepareRoot()
	admin.Refresh(bankDomain)
	admin.Turn("x509")
	admin.Turn("jwt")
	_, metrics := get(t, n, "/metrics")
	var trail []byte
	if err := admin.Try(http.MethodGet, client.Path("audit"), url.Values{}, nil, &trail); err != nil {
		t.Fatal(err)
	}
	n.Stop()

	kek, err := os.ReadFile(n.Path("private", "kek"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := append(opened(t, n), scalar(t, "a workload's key", svid.PrivateKey), secret{"the key-encryption key", kek})
	for what, signed := range map[string]string{"a workload's token": token.Marshal(), "a minted token": minted.Svid.Token} {
		secrets = append(secrets, secret{what, []byte(signed[strings.LastIndex(signed, ".")+1:])})
	}
	if len(secrets) < 8 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	for _, canary := range []string{"canary-password", "canary-query", "canary-body"} {
		secrets = append(secrets, secret{canary, []byte(canary)})
	}
	said := map[string][]byte{
		"the log": []byte(n.Log.String()), "what is printed": []byte(n.Out.String()), "/metrics": metrics, "the audit trail": trail,
		"a refusal": []byte(words), "a status": []byte(refreshed.Status.LastError),
	}
	err = filepath.WalkDir(n.Config.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		said[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range said {
		for _, s := range secrets {
			// A relationship is kept whole, and so is who changed it into what: for
			// those who may read relationships.
			kept := strings.HasSuffix(where, "/kek") && s.what == "the key-encryption key" ||
				s.what == "canary-query" && (strings.Contains(where, "/private/") || where == "the audit trail")
			if s.in(text) && !kept {
				t.Errorf("%s is in %s", s.what, where)
			}
		}
	}
}

// A key-encryption key of the environment is not inherited and not written.
func TestAKeyEncryptionKeyOfTheEnvironmentIsNotWritten(t *testing.T) {
	t.Parallel()
	kek := make([]byte, keys.KEKBytes)
	rand.Read(kek)
	text := base64.StdEncoding.EncodeToString(kek)
	dir := filepath.Join(world.Dir(t), "d")
	run := func(kek string) *world.Process {
		return world.Spawn(t, func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "CONCORD_KEK="+kek) },
			world.Binary(t, "cmd/concord"), world.Args("acme.example", dir, "--log-level", "debug")...)
	}
	node := run(text)
	node.Up()
	root := world.OperatorAt(t, filepath.Join(dir, "admin.sock")).Authority("x509", "active").ID
	node.Signal(syscall.SIGTERM)
	if code := node.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "private", "kek")); err == nil {
		t.Error("there is a key file too")
	}
	for _, said := range []*world.Record{node.Stdout, node.Stderr} {
		if (secret{bytes: kek}).in([]byte(said.String())) {
			t.Errorf("it is said in %s", said)
		}
	}
	if !strings.Contains(node.Stdout.String(), "CONCORD_KEK") {
		t.Errorf("it does not say where the key is: %s", node.Stdout)
	}
	for what, c := range map[string]struct{ kek, say string }{
		"another one": {base64.StdEncoding.EncodeToString(make([]byte, 32)), "another key-encryption key"},
		"half of it":  {text[:20], "32 random bytes"},
		"nothing":     {"", "32 random bytes"},
	} {
		wrong := run(c.kek)
		if code := wrong.Exit(); code != 1 || !strings.Contains(wrong.Stderr.String(), c.say) || !strings.Contains(wrong.Stderr.String(), "CONCORD_KEK") {
			t.Errorf("%s: exit code %d: %s", what, code, lastLine(wrong.Stderr.String()))
		}
	}
	run(text).Up()
	if got := world.OperatorAt(t, filepath.Join(dir, "admin.sock")).Authority("x509", "active").ID; got != root {
		t.Errorf("the root is %s, it was %s", got, root)
	}
}
