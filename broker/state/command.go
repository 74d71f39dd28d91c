package state

import "fmt"

// Command is one change of the state. All of them are in this package, one
// file each. Time, randomness, fetching and signing are done before a command
// is proposed; it carries their results.
type Command interface {
	// Validate says what is wrong with the command as far as it can be seen
	// without the state, at full strength. It is asked at the edge and by
	// Encode, never by Apply: what an older version accepted stays accepted.
	Validate() error

	kind() kind
	// subject is what the command is about, for the audit trail.
	subject() string
	// fields visits all fields and returns the command, filled in if v reads.
	fields(v visitor) Command
	// apply decides. It is pure; an error is a *broker.Refusal, and the draft is
	// then thrown away. Nodes of several versions read one log: what is decided
	// about a command is decided so for ever, only the words may change.
	apply(d *draft) error
}

// kind is a command's number. It is in the log and never changes, nor is it
// ever used for another command.
type kind uint8

const (
	kindBootstrap          kind = 1
	kindPutSettings        kind = 2
	kindPutEntry           kind = 3
	kindDeleteEntry        kind = 4
	kindPutRelationship    kind = 5
	kindDeleteRelationship kind = 6
	kindPutBundle          kind = 7
	kindDeleteBundle       kind = 8
	kindPrepareAuthority   kind = 9
	kindActivateAuthority  kind = 10
	kindTaintAuthority     kind = 11
	kindRemoveAuthority    kind = 12
	kindPutAgent           kind = 13
	kindDeleteAgent        kind = 14
	kindAppendAuthority    kind = 15
	kindPutMember          kind = 16
	kindPutJoinToken       kind = 17
	kindAdmitMember        kind = 18
	kindRemoveMember       kind = 19
	kindPutDuties          kind = 20
	kindReseal             kind = 21
	kindRenewKEK           kind = 22
)

// known is every command of this version, empty, and its name in the audit trail.
var known = map[kind]struct {
	name  string
	empty Command
}{
	kindBootstrap:          {"bootstrap", Bootstrap{}},
	kindPutSettings:        {"put_settings", PutSettings{}},
	kindPutEntry:           {"put_entry", PutEntry{}},
	kindDeleteEntry:        {"delete_entry", DeleteEntry{}},
	kindPutRelationship:    {"put_relationship", PutRelationship{}},
	kindDeleteRelationship: {"delete_relationship", DeleteRelationship{}},
	kindPutBundle:          {"put_bundle", PutBundle{}},
	kindDeleteBundle:       {"delete_bundle", DeleteBundle{}},
	kindPrepareAuthority:   {"prepare_authority", PrepareAuthority{}},
	kindActivateAuthority:  {"activate_authority", ActivateAuthority{}},
	kindTaintAuthority:     {"taint_authority", TaintAuthority{}},
	kindRemoveAuthority:    {"remove_authority", RemoveAuthority{}},
	kindPutAgent:           {"put_agent", PutAgent{}},
	kindDeleteAgent:        {"delete_agent", DeleteAgent{}},
	kindAppendAuthority:    {"append_authority", AppendAuthority{}},
	kindPutMember:          {"put_member", PutMember{}},
	kindPutJoinToken:       {"put_join_token", PutJoinToken{}},
	kindAdmitMember:        {"admit_member", AdmitMember{}},
	kindRemoveMember:       {"remove_member", RemoveMember{}},
	kindPutDuties:          {"put_duties", PutDuties{}},
	kindReseal:             {"reseal", Reseal{}},
	kindRenewKEK:           {"renew_kek", RenewKEK{}},
}

func (k kind) String() string {
	if c, ok := known[k]; ok {
		return c.name
	}
	return fmt.Sprintf("command(%d)", uint8(k))
}
