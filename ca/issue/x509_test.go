package issue_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
)

func TestAChainThatOthersVerify(t *testing.T) {
	workloads := map[string]crypto.Signer{
		"P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "P-521": ecKey(t, elliptic.P521()), "RSA": rsaKey(t),
	}
	for _, kt := range []ca.KeyType{ca.P256, ca.P384, ca.RSA2048} {
		i, root := ready(t, kt)
		for name, key := range workloads {
			t.Run(string(kt)+" root, "+name+" workload", func(t *testing.T) {
				svid := x509SVID(t, i, ca.X509Request{ID: web, PublicKey: key.Public(), TTL: time.Hour, DNSNames: []string{"web.acme.example"}})
				certs := chain(t, svid)
				id, verified, err := x509svid.Verify(certs, bundleOf(root), x509svid.WithTime(began))
				if err != nil {
					t.Fatal(err)
				}
				if id != web || len(verified[0]) != 3 {
					t.Errorf("%s by a chain of %d", id, len(verified[0]))
				}
				roots, inters := x509.NewCertPool(), x509.NewCertPool()
				roots.AddCert(root)
				inters.AddCert(certs[1])
				for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
					_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: inters, CurrentTime: began, KeyUsages: []x509.ExtKeyUsage{usage}, DNSName: "web.acme.example"})
					if err != nil {
						t.Errorf("usage %d: %v", usage, err)
					}
				}
			})
		}
	}
}

func TestLeafProfile(t *testing.T) {
	i, root := ready(t, ca.P256)
	key := ecKey(t, elliptic.P256())
	svid := x509SVID(t, i, ca.X509Request{ID: web, PublicKey: key.Public(), TTL: time.Hour, DNSNames: []string{"web.acme.example", "web"}})
	ofRSA := chain(t, x509SVID(t, i, ca.X509Request{ID: web, PublicKey: rsaKey(t).Public(), TTL: time.Hour}))[0]
	leaf, in := chain(t, svid)[0], i.X509().Certificate()
	for name, good := range map[string]bool{
		"XS_1 exactly one URI SAN":              len(leaf.URIs) == 1 && leaf.URIs[0].String() == web.String(),
		"XS_10 cA is false, and said":           leaf.BasicConstraintsValid && !leaf.IsCA && extension(leaf, 2, 5, 29, 19).Critical,
		"XS_12 key usage is there":              extension(leaf, 2, 5, 29, 15) != nil,
		"XS_13 and critical":                    extension(leaf, 2, 5, 29, 15).Critical,
		"XS_15 digitalSignature":                leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0,
		"XS_16 neither keyCertSign nor cRLSign": leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0,
		"XS_17 extended key usage":              len(leaf.ExtKeyUsage) == 2,
		"XS_18 for servers and clients":         leaf.ExtKeyUsage[0] == x509.ExtKeyUsageServerAuth && leaf.ExtKeyUsage[1] == x509.ExtKeyUsageClientAuth,
		"XS_32 nothing more for ECDSA":          leaf.KeyUsage == x509.KeyUsageDigitalSignature,
		"RSA keys may also encipher":            ofRSA.KeyUsage == x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment,
		"DNS names as they were asked":          len(leaf.DNSNames) == 2 && leaf.DNSNames[0] == "web.acme.example" && leaf.DNSNames[1] == "web",
		"the first is the common name":          leaf.Subject.CommonName == "web.acme.example" && leaf.Subject.String() == "CN=web.acme.example,O=Concord",
		"no other names":                        len(leaf.IPAddresses)+len(leaf.EmailAddresses) == 0,
		"names its issuer's key":                bytes.Equal(leaf.AuthorityKeyId, in.SubjectKeyId) && len(leaf.AuthorityKeyId) > 0,
		"names its own key":                     len(leaf.SubjectKeyId) == 20,
		"XS_7 issued in its own domain":         in.URIs[0].Host == leaf.URIs[0].Host,
		"begins ten seconds ago":                leaf.NotBefore.Equal(began.Add(-issue.Backdate)) && leaf.NotBefore.Equal(svid.NotBefore),
		"ends after its life":                   leaf.NotAfter.Equal(began.Add(time.Hour)) && leaf.NotAfter.Equal(svid.NotAfter),
		"a serial number of 127 bits":           leaf.SerialNumber.Sign() > 0 && leaf.SerialNumber.BitLen() > 64 && leaf.SerialNumber.BitLen() < 128,
		"ID_24 the workload's key":              key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey),
		"leaf first, the root not included":     len(svid.Certificates) == 2 && bytes.Equal(svid.Certificates[1], in.Raw),
		"says its root":                         svid.AuthorityID == i.X509().AuthorityID() && svid.ID == web,
		"six extensions":                        len(leaf.Extensions) == 6,
		"X.509 version 3":                       leaf.Version == 3 && root.Version == 3,
	} {
		t.Run(name, func(t *testing.T) {
			if !good {
				t.Errorf("leaf %+v", leaf)
			}
		})
	}
}

func extension(cert *x509.Certificate, oid ...int) *pkix.Extension {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			return &e
		}
	}
	return nil
}

func TestXS_4_SANIsCriticalWhenTheSubjectIsEmpty(t *testing.T) {
	i, root := ready(t, ca.P256)
	req := ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour}
	if san := extension(chain(t, x509SVID(t, i, req))[0], 2, 5, 29, 17); san == nil || san.Critical {
		t.Errorf("with the default subject: %+v", san)
	}
	req.Subject = &pkix.Name{}
	empty := x509SVID(t, i, req)
	if san := extension(chain(t, empty)[0], 2, 5, 29, 17); san == nil || !san.Critical {
		t.Errorf("with an empty subject: %+v", san)
	}
	if _, _, err := x509svid.Verify(chain(t, empty), bundleOf(root), x509svid.WithTime(began)); err != nil {
		t.Error(err)
	}
	req.Subject = &pkix.Name{Country: []string{"DE"}, CommonName: "ops"}
	if got := chain(t, x509SVID(t, i, req))[0].Subject.String(); got != "CN=ops,C=DE" {
		t.Errorf("a minted subject became %s", got)
	}
	req.Subject = &pkix.Name{CommonName: strings.Repeat("n", ca.MaxSubjectBytes)}
	if _, err := i.X509SVID(req, began); err == nil {
		t.Error("a subject of 4 KiB was signed")
	}
}

func TestTheCommonNameIsBounded(t *testing.T) {
	i, _ := ready(t, ca.P256)
	long := strings.Repeat("a", 60) + ".example"
	svid := x509SVID(t, i, ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour, DNSNames: []string{long}})
	if chain(t, svid)[0].Subject.String() != "O=Concord" || chain(t, svid)[0].DNSNames[0] != long {
		t.Errorf("subject %s, DNS names %v", chain(t, svid)[0].Subject, chain(t, svid)[0].DNSNames)
	}
}

func TestSigningCertificateProfile(t *testing.T) {
	for _, kt := range []ca.KeyType{ca.P256, ca.P384, ca.RSA2048} {
		i, root := ready(t, kt)
		in := i.X509().Certificate()
		for _, cert := range []*x509.Certificate{root, in} {
			for name, good := range map[string]bool{
				"XS_5 is an SVID itself":            len(cert.URIs) == 1,
				"ID_21 carries its domain's ID":     cert.URIs[0].String() == acme.IDString(),
				"ID_23 XS_6 its ID has no path":     cert.URIs[0].Path == "",
				"ID_22 XS_7 in its own domain":      cert.URIs[0].Host == acme.Name(),
				"XS_9 cA is true":                   cert.BasicConstraintsValid && cert.IsCA && extension(cert, 2, 5, 29, 19).Critical,
				"XS_12 XS_13 key usage, critical":   extension(cert, 2, 5, 29, 15).Critical,
				"XS_14 keyCertSign":                 cert.KeyUsage&x509.KeyUsageCertSign != 0,
				"XS_31 nothing but certs and CRLs":  cert.KeyUsage == x509.KeyUsageCertSign|x509.KeyUsageCRLSign,
				"names its key":                     len(cert.SubjectKeyId) == 20,
				"begins a minute ago":               cert.NotBefore.Equal(began.Add(-time.Minute)),
				"no extended key usage constrains":  len(cert.ExtKeyUsage) == 0,
				"subject unique by its key's ID":    cert.Subject.SerialNumber != "" && strings.HasPrefix(cert.Subject.String(), "SERIALNUMBER="),
				"serial number positive and random": cert.SerialNumber.Sign() > 0 && cert.SerialNumber.BitLen() > 64,
			} {
				t.Run(string(kt)+" "+name, func(t *testing.T) {
					if !good {
						t.Errorf("certificate %+v", cert)
					}
				})
			}
		}
		if err := root.CheckSignatureFrom(root); err != nil {
			t.Errorf("XS_28: the root is not self-signed: %v", err)
		}
		if in.MaxPathLen != 0 || !in.MaxPathLenZero || root.MaxPathLen != -1 {
			t.Errorf("path lengths: intermediate %d, root %d", in.MaxPathLen, root.MaxPathLen)
		}
		if !in.NotAfter.Equal(began.Add(day)) || !root.NotAfter.Equal(began.Add(90*day)) {
			t.Errorf("ends: intermediate %s, root %s", in.NotAfter, root.NotAfter)
		}
	}
}

func TestADownstreamCAIsSignedByTheRoot(t *testing.T) {
	d := domainOf(ca.P256)
	root := authority(t, d, ca.X509)
	der, err := d.SignDownstream(root, ecKey(t, elliptic.P256()).Public(), day, began)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if !cert.IsCA || cert.MaxPathLen != -1 || cert.URIs[0].String() != acme.IDString() {
		t.Errorf("downstream CA %+v", cert)
	}
	if of, err := root.Certificate(); err != nil || cert.CheckSignatureFrom(of) != nil {
		t.Errorf("not signed by the root: %v", err)
	}
}

// RELIABILITY §1 row 1, as far as an Issuer decides it.
func TestWhatIsNotSigned(t *testing.T) {
	i, _ := ready(t, ca.P256)
	good := ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour}
	for name, change := range map[string]func(*ca.X509Request){
		"ID_26 another trust domain": func(r *ca.X509Request) { r.ID = spiffeid.RequireFromString("spiffe://bank.example/web") },
		"XS_3 the domain's own ID":   func(r *ca.X509Request) { r.ID = acme.ID() },
		"no key":                     func(r *ca.X509Request) { r.PublicKey = nil },
		"a key on P-224":             func(r *ca.X509Request) { r.PublicKey = ecKey(t, elliptic.P224()).Public() },
		"a DNS name that is none":    func(r *ca.X509Request) { r.DNSNames = []string{"a b"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			if svid, err := i.X509SVID(r, began); err == nil || errors.Is(err, issue.ErrNotReady) || svid.Certificates != nil {
				t.Errorf("got %v, %v", svid, err)
			}
		})
	}
}

func TestNothingOutlivesItsIssuer(t *testing.T) {
	i, root := ready(t, ca.P256)
	req := ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: 365 * day}
	end := i.X509().NotAfter()
	if svid := x509SVID(t, i, req); !svid.NotAfter.Equal(end) {
		t.Errorf("the leaf ends at %s, its issuer at %s", svid.NotAfter, end)
	}
	if _, err := i.X509SVID(req, end); !errors.Is(err, ca.ErrNotReady) {
		t.Errorf("past the issuer's end: %v, want ErrNotReady", err)
	}
	if svid, err := i.X509SVID(req, began.Add(-time.Minute)); err != nil || svid.NotBefore.Before(i.X509().NotBefore()) {
		t.Errorf("a leaf that begins before its issuer: %s, %v", svid.NotBefore, err)
	}
	d := domainOf(ca.P256)
	a := authority(t, d, ca.X509)
	der, err := d.SignIntermediate(a, ecKey(t, elliptic.P256()).Public(), 365*day, began)
	if err != nil {
		t.Fatal(err)
	}
	if in, _ := x509.ParseCertificate(der); !in.NotAfter.Equal(a.NotAfter) {
		t.Errorf("the intermediate ends at %s, its root at %s", in.NotAfter, root.NotAfter)
	}
	if _, err := d.SignIntermediate(a, ecKey(t, elliptic.P256()).Public(), day, a.NotAfter); !errors.Is(err, ca.ErrNotReady) {
		t.Errorf("past the root's end: %v, want ErrNotReady", err)
	}
}

func TestNotReady(t *testing.T) {
	i := issue.New()
	req := ca.X509Request{ID: web, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour}
	if _, err := i.X509SVID(req, began); !errors.Is(err, ca.ErrNotReady) {
		t.Errorf("X.509: %v", err)
	}
	if _, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"a"}, TTL: time.Hour}, began); !errors.Is(err, ca.ErrNotReady) {
		t.Errorf("JWT: %v", err)
	}
	if err := i.Ready(began); !errors.Is(err, ca.ErrNotReady) || !strings.Contains(err.Error(), "intermediate") || !strings.Contains(err.Error(), "JWT") {
		t.Errorf("ready: %v, want both reasons", err)
	}
	i, _ = ready(t, ca.P256)
	if err := i.Ready(began); err != nil {
		t.Errorf("ready: %v", err)
	}
	if err := i.Ready(began.Add(2 * day)); err == nil {
		t.Error("ready past the intermediate's end")
	}
}

func TestIntermediatesThatAreNotTaken(t *testing.T) {
	d := domainOf(ca.P256)
	root := authority(t, d, ca.X509)
	key := ecKey(t, elliptic.P256())
	good, err := d.SignIntermediate(root, key.Public(), day, began)
	if err != nil {
		t.Fatal(err)
	}
	i := issue.New()
	i.SetX509(intermediate(t, d, root, key))
	leaf := x509SVID(t, i, ca.X509Request{ID: web, PublicKey: key.Public(), TTL: time.Hour})
	for name, der := range map[string][]byte{
		"not DER": []byte("x"),
		"a leaf":  leaf.Certificates[0],
		"cut":     good[:len(good)-1],
	} {
		if _, err := issue.NewIntermediate(der, key, root.ID); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := issue.NewIntermediate(good, ecKey(t, elliptic.P256()), root.ID); err == nil {
		t.Error("an intermediate of another key was taken")
	}
}
