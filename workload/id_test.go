package workload_test

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/workload"
)

// idCorpus is every way in which a SPIFFE ID can be wrong, by clause.
var idCorpus = map[string][]string{
	"ID_1_scheme": {
		"", "spiffe", "spiffe:", "spiffe:/td/x", "http://td/x", "SPIFFE://td/x", "Spiffe://td/x", "spiffes://td/x",
		" spiffe://td/x", "//td/x", "td/x",
	},
	"ID_2_trust_domain_present":   {"spiffe://", "spiffe:///", "spiffe:///x"},
	"ID_3_no_query":               {"spiffe://td/x?", "spiffe://td/x?a=1", "spiffe://td?", "spiffe://td?a=1"},
	"ID_4_no_fragment":            {"spiffe://td/x#", "spiffe://td/x#f", "spiffe://td#", "spiffe://td#f"},
	"ID_5_host_not_empty":         {"spiffe://@/x", "spiffe://:80/x", "spiffe://:/x", "spiffe://u@:80/x"},
	"ID_6_no_userinfo_nor_port":   {"spiffe://u@td/x", "spiffe://u:p@td/x", "spiffe://td:443/x", "spiffe://td:/x", "spiffe://@td/x"},
	"ID_7_host_in_lower_case":     {"spiffe://TD/x", "spiffe://tD", "spiffe://Example.org/x"},
	"ID_8_host_bytes":             {"spiffe://t d/x", "spiffe://[::1]/x", "spiffe://t\x00d/x", "spiffe://tд/x", "spiffe://xn-ü/x", "spiffe://t\\d/x", "spiffe://t\nd/x", "spiffe://td\xff/x", "spiffe://t+d", "spiffe://t~d"},
	"ID_9_host_not_encoded":       {"spiffe://t%64/x", "spiffe://%74d"},
	"ID_11_path_not_encoded":      {"spiffe://td/%61", "spiffe://td/a%2fb", "spiffe://td/%2e%2e", "spiffe://td/a%00"},
	"ID_12_no_empty_or_dot_parts": {"spiffe://td//a", "spiffe://td/a//b", "spiffe://td/./a", "spiffe://td/a/.", "spiffe://td/../a", "spiffe://td/a/..", "spiffe://td/a/../b", "spiffe://td/..", "spiffe://td//"},
	"ID_13_no_trailing_slash":     {"spiffe://td/", "spiffe://td/a/", "spiffe://td/a/b/"},
	"ID_14_path_bytes":            {"spiffe://td/a b", "spiffe://td/a~b", "spiffe://td/a:b", "spiffe://td/a@b", "spiffe://td/a\\b", "spiffe://td/a\x00", "spiffe://td/ä", "spiffe://td/a\xff", "spiffe://td/a,b", "spiffe://td/a;b", "spiffe://td/a+b", "spiffe://td/a\n"},
	"ID_15_at_most_2048_bytes":    {"spiffe://td/" + strings.Repeat("a", 2048-12+1)},
	"ID_17_domain_at_most_255":    {"spiffe://" + strings.Repeat("a", 256), "spiffe://" + strings.Repeat("a", 256) + "/x"},
	"ID_18_never_another_domain":  {"spiffe://Acme.example/x", "SPIFFE://acme.example/x"},
}

func TestID_refused(t *testing.T) {
	for clause, texts := range idCorpus {
		t.Run(clause, func(t *testing.T) {
			for _, text := range texts {
				id, err := workload.ParseID(text)
				if err == nil {
					t.Errorf("%.80q was read as %s", text, id)
					continue
				}
				if !strings.Contains(err.Error(), "byte") {
					t.Errorf("%.80q: the error names no position: %v", text, err)
				}
			}
		})
	}
}

// TestID_every_byte puts each byte into a host and into a path.
func TestID_every_byte(t *testing.T) {
	const host = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	const path = host + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	t.Run("ID_8", func(t *testing.T) {
		for b := range 256 {
			c := string([]byte{byte(b)})
			_, err := workload.ParseID("spiffe://a" + c + "b")
			if ok := err == nil; ok != (strings.Contains(host, c) && c != "" || c == "/") {
				t.Errorf("byte %q in a host: %v", c, err)
			}
		}
	})
	t.Run("ID_14", func(t *testing.T) {
		for b := range 256 {
			c := string([]byte{byte(b)})
			_, err := workload.ParseID("spiffe://td/a" + c + "b")
			if ok := err == nil; ok != (strings.Contains(path, c) || c == "/") {
				t.Errorf("byte %q in a path: %v", c, err)
			}
		}
	})
}

func TestID_accepted(t *testing.T) {
	longest := "spiffe://" + strings.Repeat("d", 255) + "/" + strings.Repeat("p", 2048-9-255-1)
	for name, texts := range map[string][]string{
		"ID_10_names_that_look_like_others": {"spiffe://10.0.0.1/x", "spiffe://a_b/x", "spiffe://-..-/x", "spiffe://localhost/x", "spiffe://../x", "spiffe://1/x"},
		"ID_15_2048_bytes":                  {longest},
		"ID_17_255_bytes":                   {"spiffe://" + strings.Repeat("a", 255)},
		"ID_18_case_of_the_path":            {"spiffe://td/A", "spiffe://td/a"},
		"dots that are not segments":        {"spiffe://td/...", "spiffe://td/.a", "spiffe://td/a..b", "spiffe://td/a."},
		"a trust domain's own":              {"spiffe://td"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range texts {
				id, err := workload.ParseID(text)
				if err != nil {
					t.Errorf("%.80q: %v", text, err)
				} else if id.String() != text {
					t.Errorf("%.80q became %.80q", text, id)
				}
			}
		})
	}
}

func TestID_18_paths_differ_by_case(t *testing.T) {
	upper, errU := workload.ParseID("spiffe://td/A")
	lower, errL := workload.ParseID("spiffe://td/a")
	if errU != nil || errL != nil || upper == lower {
		t.Fatalf("%v %v, %v %v", upper, errU, lower, errL)
	}
}

// FuzzID wants an ID to be taken byte for byte or refused with its position,
// and exactly those that go-spiffe reads, within the lengths.
func FuzzID(f *testing.F) {
	for _, texts := range idCorpus {
		for _, text := range texts {
			f.Add(text)
		}
	}
	f.Add("spiffe://acme.example/billing/api")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := workload.ParseID(text)
		theirs, theirErr := spiffeid.FromString(text)
		tooLong := len(text) > workload.MaxIDBytes || theirErr == nil && len(theirs.TrustDomain().Name()) > workload.MaxTrustDomainBytes
		if (err == nil) != (theirErr == nil && !tooLong) {
			t.Fatalf("%q: %v, go-spiffe: %v", text, err, theirErr)
		}
		if err == nil && (id.String() != text || id != theirs) {
			t.Fatalf("%q became %q", text, id)
		}
		if err != nil && !strings.Contains(err.Error(), "byte") {
			t.Fatalf("%q: the error names no position: %v", text, err)
		}
	})
}

func TestParseTrustDomain(t *testing.T) {
	for _, text := range []string{"acme.example", "spiffe://acme.example", "10.0.0.1", "a_b", strings.Repeat("a", 255)} {
		td, err := workload.ParseTrustDomain(text)
		if err != nil || td.Name() != strings.TrimPrefix(text, "spiffe://") {
			t.Errorf("%q: %v %v", text, td, err)
		}
	}
	for name, text := range map[string]string{
		"ID_2_empty":          "",
		"ID_2_only_scheme":    "spiffe://",
		"ID_6_port":           "acme.example:443",
		"ID_7_upper_case":     "Acme.example",
		"ID_8_unicode":        "ácme.example",
		"ID_13_slash":         "spiffe://acme.example/",
		"ID_13_path":          "spiffe://acme.example/x",
		"ID_17_256_bytes":     strings.Repeat("a", 256),
		"ID_1_another_scheme": "https://acme.example",
	} {
		t.Run(name, func(t *testing.T) {
			if td, err := workload.ParseTrustDomain(text); err == nil {
				t.Errorf("%q was read as %v", text, td)
			}
		})
	}
}

func TestReservedPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/spire": true, "/spire/server": true, "/spire/agent/concord/n1": true, "/spire/concord/signer": true,
		"/spirea": false, "/Spire": false, "/a/spire": false, "/spire-x/y": false, "": false,
	} {
		if workload.Reserved(path) != want {
			t.Errorf("Reserved(%q) = %v", path, !want)
		}
	}
}

func TestBuiltInIDs(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("acme.example")
	agent, err := workload.AgentID(td, "n1")
	if err != nil || agent.String() != "spiffe://acme.example/spire/agent/concord/n1" || !workload.IsAgent(agent) {
		t.Errorf("%v %v", agent, err)
	}
	if got := workload.AgentAlias(td).String(); got != "spiffe://acme.example/spire/agent/concord" {
		t.Error(got)
	}
	if got := workload.ServerID(td).String(); got != "spiffe://acme.example/spire/server" {
		t.Error(got)
	}
	for _, node := range []string{"", "a/b", "..", "a b", "ä", strings.Repeat("n", 2048)} {
		t.Run("ID_16_"+node[:min(len(node), 4)], func(t *testing.T) {
			if id, err := workload.AgentID(td, node); err == nil {
				t.Errorf("%.20q became %s", node, id)
			}
		})
	}
}
