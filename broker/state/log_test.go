package state_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// samples are commands of every kind. Together they leave no field at zero.
func samples() []state.Command {
	full := entry("5f0c", "/ns/a/sa/b", "unix:uid:1000", "unix:gid:7")
	full.FederatesWith = []spiffeid.TrustDomain{bank, shop}
	full.X509TTL, full.JWTTTL = time.Hour, time.Minute
	full.DNSNames, full.Hint = []string{"b.a.svc", "b"}, "internal"
	full.Admin, full.Downstream, full.StoreSVID = true, true, true
	full.ExpiresAt, full.CreatedAt, full.Revision = epoch.Add(time.Hour), epoch.Add(time.Nanosecond), 3

	spiffe, web := relationship(bank), relationship(shop)
	spiffe.CreatedAt, spiffe.Revision = epoch, 2
	web.Profile, web.EndpointID = federation.HTTPSWeb, spiffeid.ID{}
	web.Roots = bundle(shop, 1, []int{9}, nil).Bundle.PEM()

	aged := root(acme, 3, ca.Prepared)
	aged.PreparedAt, aged.ActivatedAt, aged.OldAt, aged.VouchesUntil = epoch, epoch.Add(1), epoch.Add(2), epoch.Add(3)
	aged.Tainted, aged.LargestHint = true, time.Hour

	foreign := bundle(bank, 7, []int{10}, []int{11})
	first := member(1)
	first.JoinedAt = epoch
	again := resealed(initial()...)
	again.Removed, again.After = revision(0), 12
	token := joinToken(2, epoch.Add(48*time.Hour))
	token.Token.UsedBy, token.Token.UsedAt = nodeID(2), epoch
	return []state.Command{
		bootstrap(),
		state.PutSettings{Settings: state.Settings{RefreshHint: time.Minute, PublicationWindow: -1, X509TTL: time.Hour, JWTTTL: time.Minute, IntermediateTTL: 2 * time.Hour, RootTTL: lifetime}},
		state.PutEntry{Entry: full, IfRevision: revision(0)},
		state.DeleteEntry{ID: "5f0c"},
		state.PutRelationship{Relationship: spiffe, IfRevision: revision(1 << 40)},
		state.PutRelationship{Relationship: web},
		state.DeleteRelationship{TrustDomain: bank},
		state.PutBundle{TrustDomain: bank, Document: foreign.Document, IfDocument: sha256.Sum256([]byte("before")), Any: true, Origin: state.OriginOperator},
		state.DeleteBundle{TrustDomain: bank, Mode: state.Dissociate},
		state.PrepareAuthority{Authority: aged},
		state.ActivateAuthority{Use: ca.JWT, ID: "b", Force: true, VouchFor: time.Hour},
		state.TaintAuthority{Use: ca.X509, ID: "a"},
		state.RemoveAuthority{Use: ca.X509, ID: "a", Revoke: true},
		state.PutAgent{Agent: state.Agent{
			ID: id("/spire/agent/concord/n1"), Method: "concord:node", Selectors: selectors("concord:node"),
			CertSerial: "12", CertNotAfter: epoch, AttestedAt: epoch, Banned: true, Version: "1.0",
		}},
		state.DeleteAgent{ID: id("/spire/agent/concord/n1")},
		state.AppendAuthority{Use: ca.X509, ID: rootID(16), Public: root(acme, 16, 0).Public, NotAfter: epoch.Add(lifetime)},
		state.PutMember{Member: first},
		token,
		admit(2),
		state.RemoveMember{ID: nodeID(2), Compromised: true, Force: true},
		duties(1, 1),
		resealed(initial()...),
		again,
		state.RenewKEK{},
	}
}

func sampleAct() broker.Act {
	return broker.Act{Actor: "node:n1", Cause: "rotation", RequestID: "r-1", At: epoch.Add(time.Nanosecond)}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	filled := make(map[string]bool)
	for _, want := range samples() {
		encoded, err := state.Encode(sampleAct(), want)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		act, have, err := state.Decode(encoded)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if act != sampleAct() || !reflect.DeepEqual(have, want) {
			t.Errorf("%T: %+v became %+v", want, want, have)
		}
		again, err := state.Encode(act, have)
		if err != nil || !bytes.Equal(again, encoded) {
			t.Errorf("%T is encoded in two ways: %v", want, err)
		}
		visit(reflect.TypeOf(want).Name(), reflect.ValueOf(want), filled)
	}
	for field, has := range filled {
		if !has {
			t.Errorf("no sample has %s, so nothing shows that it is encoded", field)
		}
	}
}

// visit notes which fields of v, and of the structs in it, are not zero.
func visit(name string, v reflect.Value, filled map[string]bool) {
	switch v.Interface().(type) {
	case time.Time, spiffeid.ID, spiffeid.TrustDomain:
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			visit(name, v.Index(i), filled)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().String() + "." + v.Type().Field(i).Name
			filled[field] = filled[field] || !v.Field(i).IsZero()
			visit(field, v.Field(i), filled)
		}
	}
}

func TestAFlippedBitIsDamage(t *testing.T) {
	for _, c := range samples() {
		encoded, err := state.Encode(sampleAct(), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range encoded {
			for bit := range 8 {
				encoded[i] ^= 1 << bit
				if _, _, err := state.Decode(encoded); !errors.Is(err, state.ErrCorrupt) {
					t.Fatalf("%T with bit %d of byte %d flipped: %v", c, bit, i, err)
				}
				encoded[i] ^= 1 << bit
			}
		}
		for n := range encoded {
			if _, _, err := state.Decode(encoded[:n]); !errors.Is(err, state.ErrCorrupt) {
				t.Fatalf("%T cut off after %d bytes: %v", c, n, err)
			}
		}
	}
}

// sealed appends the checksum that every log entry ends in.
func sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func TestWhatANewerVersionWroteAsksForAnUpgrade(t *testing.T) {
	good, err := state.Encode(sampleAct(), state.DeleteEntry{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	body := good[:len(good)-4]
	act := group(1, message(text(1, "a"), group(4, number(1, 2))))
	for name, newer := range map[string][]byte{
		"a format":             append([]byte{2}, body[1:]...),
		"a command":            append([]byte{1, 250}, body[2:]...),
		"a field":              append(bytes.Clone(body), number(3, 1)...),
		"a field of the act":   append([]byte{1, 4}, message(group(1, message(text(1, "a"), group(4, number(1, 2)), text(9, "new"))), group(2, text(1, "x")))...),
		"a field of a command": append([]byte{1, 4}, message(act, group(2, message(text(1, "x"), text(2, "new"))))...),
	} {
		_, _, err := state.Decode(sealed(newer))
		if !errors.Is(err, state.ErrUnknownCommand) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%s that is not known: %v", name, err)
		}
	}
}

func message(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

func group(n protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), body)
}

func text(n protowire.Number, v string) []byte { return group(n, []byte(v)) }

func number(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func TestOneCommandHasOneEncoding(t *testing.T) {
	at := group(4, number(1, 2))
	act := group(1, message(text(1, "a"), at))
	taint := func(fields ...[]byte) []byte {
		return append([]byte{1, 11}, message(act, group(2, message(fields...)))...)
	}
	if _, _, err := state.Decode(sealed(taint(number(1, 1), text(2, "x")))); err != nil {
		t.Fatalf("the canonical encoding is refused: %v", err)
	}
	for name, body := range map[string][]byte{
		"fields in another order": taint(text(2, "x"), number(1, 1)),
		"a field twice":           taint(number(1, 1), number(1, 2), text(2, "x")),
		"a field that is zero":    taint(number(1, 0), text(2, "x")),
		"an empty text":           taint(number(1, 1), text(2, "")),
		"a text not in UTF-8":     taint(number(1, 1), text(2, "\xff")),
		"a longer number":         taint([]byte{0x08, 0x81, 0x00}, text(2, "x")),
		"a longer tag":            taint([]byte{0x88, 0x00, 0x01}, text(2, "x")),
		"another wire type":       taint(text(1, "1"), text(2, "x")),
		"a use out of range":      taint(number(1, 256), text(2, "x")),
		"a length past the end":   append(taint(), 0x12, 0x7f, 'x'),
		"no command":              append([]byte{1, 11}, act...),
		"no act":                  append([]byte{1, 11}, group(2, text(2, "x"))...),
		"no time that exists":     append([]byte{1, 11}, message(group(1, message(text(1, "a"), group(4, message(number(1, 2), number(2, 1_000_000_000))))), group(2, text(2, "x")))...),
		"a time after year 9999":  append([]byte{1, 11}, message(group(1, message(text(1, "a"), group(4, number(1, 1<<60)))), group(2, text(2, "x")))...),
		"a trust domain that is none": append([]byte{1, 6},
			message(act, group(2, text(1, "spiffe://bank.example")))...),
		"a SPIFFE ID that is none": append([]byte{1, 14}, message(act, group(2, text(1, "spiffe://acme.example/a/../b")))...),
	} {
		if _, _, err := state.Decode(sealed(body)); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingIsProposedWithoutAnAuthor(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, act := range map[string]broker.Act{
		"no actor":              {At: epoch},
		"no time":               {Actor: "a"},
		"a time that never was": {Actor: "a", At: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
		"an actor without end":  {Actor: long, At: epoch},
		"a cause without end":   {Actor: "a", Cause: long, At: epoch},
		"a request without end": {Actor: "a", RequestID: long, At: epoch},
		"an actor not in UTF-8": {Actor: "\xff", At: epoch},
	} {
		if _, err := state.Encode(act, state.DeleteEntry{ID: "x"}); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsInvalidIsNotEncoded(t *testing.T) {
	tooShort := state.DefaultSettings()
	tooShort.IntermediateTTL = time.Minute
	fraction := state.DefaultSettings()
	fraction.RefreshHint = 1500 * time.Millisecond
	for name, c := range map[string]state.Command{
		"an entry without ID":                   state.PutEntry{Entry: entry("", "/a", "unix:uid:1")},
		"an entry without selectors":            state.PutEntry{Entry: entry("a", "/a")},
		"an entry of the domain itself":         state.PutEntry{Entry: entry("a", "", "unix:uid:1")},
		"an entry in the reserved paths":        state.PutEntry{Entry: entry("a", "/spire/server", "unix:uid:1")},
		"a deletion of nothing":                 state.DeleteEntry{},
		"a relationship without URL":            state.PutRelationship{Relationship: federation.Relationship{TrustDomain: bank}},
		"an end of no relationship":             state.DeleteRelationship{},
		"a bundle of nobody":                    state.PutBundle{Document: []byte(`{"keys":[]}`), Origin: state.OriginFetch},
		"a bundle of unknown origin":            state.PutBundle{TrustDomain: bank, Document: []byte(`{"keys":[]}`), Origin: "peer"},
		"a fetched bundle that overrides":       state.PutBundle{TrustDomain: bank, Document: []byte(`{"keys":[]}`), Origin: state.OriginFetch, Any: true},
		"a bundle not in canonical form":        state.PutBundle{TrustDomain: bank, Document: []byte(`{"keys": []}`), Origin: state.OriginFetch},
		"a bundle without keys":                 state.PutBundle{TrustDomain: bank, Document: []byte(`{}`), Origin: state.OriginFetch},
		"a bundle's end in an unknown mode":     state.DeleteBundle{TrustDomain: bank, Mode: 9},
		"a bundle's end for nobody":             state.DeleteBundle{},
		"an authority that begins active":       state.PrepareAuthority{Authority: root(acme, 3, ca.Active)},
		"an authority without key":              state.PrepareAuthority{Authority: ca.Authority{ID: "a", Use: ca.X509}},
		"an activation of nothing":              state.ActivateAuthority{Use: ca.X509},
		"an activation that vouches backwards":  state.ActivateAuthority{Use: ca.X509, ID: "a", VouchFor: -1},
		"a taint for an unknown use":            state.TaintAuthority{Use: 9, ID: "a"},
		"a removal of nothing":                  state.RemoveAuthority{Use: ca.JWT},
		"an agent elsewhere":                    state.PutAgent{Agent: state.Agent{ID: id("/agent/x"), Method: "m"}},
		"an agent of no method":                 state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/x")}},
		"an agent whose selectors are unsorted": state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/x"), Method: "m", Selectors: append(selectors("b:1"), selectors("a:1")...)}},
		"an end of no agent":                    state.DeleteAgent{},
		"an intermediate shorter than its SVID": state.PutSettings{Settings: tooShort},
		"a hint that is no whole second":        state.PutSettings{Settings: fraction},
		"settings of nothing":                   state.PutSettings{},
		"a start without incarnation":           started(1, 0),
		"a join token of nobody":                state.PutJoinToken{Token: state.JoinToken{ID: tokenID(1), ExpiresAt: epoch}},
		"a join token without ID":               state.PutJoinToken{Token: state.JoinToken{Name: "n1", ExpiresAt: epoch}},
		"a join token without end":              joinToken(1, time.Time{}),
		"an admission without token":            state.AdmitMember{Member: member(1)},
		"a removal of no member":                state.RemoveMember{ID: "n1"},
		"an ID not in UTF-8":                    state.DeleteEntry{ID: "\xff"},
		"an authority's ID not in UTF-8":        state.TaintAuthority{Use: ca.X509, ID: "\xff"},
		"an end before the year 1":              joinToken(1, time.Time{}.Add(-time.Hour)),
	} {
		if _, err := state.Encode(sampleAct(), c); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheNewestCommandIsTheLast(t *testing.T) {
	kinds := make(map[byte]bool)
	for _, c := range samples() {
		encoded, err := state.Encode(sampleAct(), c)
		if err != nil {
			t.Fatal(err)
		}
		kinds[encoded[1]] = true
	}
	for n := range state.NewestCommand {
		if !kinds[byte(n+1)] {
			t.Errorf("there is no sample of command %d", n+1)
		}
	}
	if uint64(len(kinds)) != state.NewestCommand {
		t.Errorf("there are %d commands, and the newest is %d", len(kinds), state.NewestCommand)
	}
	if _, _, err := state.Decode(sealed([]byte{1, byte(state.NewestCommand + 1)})); !errors.Is(err, state.ErrUnknownCommand) {
		t.Errorf("the command after the newest: %v", err)
	}
}

func TestTheLargestCommandFits(t *testing.T) {
	var big []string
	for i := range 256 {
		big = append(big, "t:"+strings.Repeat("v", 2044)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	e := entry("a", "/"+strings.Repeat("p", workload.MaxIDBytes-len("spiffe://acme.example/")), big...)
	for i := range workload.MaxFederatesWith {
		name := strings.Repeat("d", 250) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		e.FederatesWith = append(e.FederatesWith, spiffeid.RequireTrustDomainFromString(name))
	}
	e = e.Canonical(acme)
	w := founded(t)
	w.do(state.PutEntry{Entry: e})
	var snapshot bytes.Buffer
	if _, err := w.machine.View().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := state.NewMachine().Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
}
