package state

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the cluster.
const (
	MaxMembers            = 15
	MaxMemberNameBytes    = 63
	MaxMemberAddressBytes = 255
	MaxMemberVersionBytes = 64
)

var (
	memberID   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	memberName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// Member is a node of the cluster as the state knows it. Who votes is raft's to know.
type Member struct {
	ID          string    // SHA-256 of the node's key, in lower-case hex
	Name        string    // node-name; no two members have the same
	Address     string    // host:port at which other members reach its raft port
	JoinedAt    time.Time // when it was recorded first
	Incarnation uint64    // of its newest start; 0 before it has registered one
	Version     string
	Commands    uint64   // the highest number of a command that its version knows
	Settings    [32]byte // stands for the settings that its configuration asked for last
}

// Validate says what is wrong with m.
func (m Member) Validate() error {
	if err := validateMemberID(m.ID); err != nil {
		return err
	}
	if err := validateMemberName(m.Name); err != nil {
		return err
	}
	if m.Version == "" || len(m.Version) > MaxMemberVersionBytes || !utf8.ValidString(m.Version) {
		return fmt.Errorf("member %s has a version %.40q that is not UTF-8 of 1 to %d bytes", m.Name, m.Version, MaxMemberVersionBytes)
	}
	at := strings.LastIndexByte(m.Address, ':')
	if n, err := strconv.ParseUint(m.Address[at+1:], 10, 16); at < 1 || err != nil || n == 0 || len(m.Address) > MaxMemberAddressBytes || !utf8.ValidString(m.Address) {
		return fmt.Errorf("member %s has the address %.80q, which is not host:port of at most %d bytes", m.Name, m.Address, MaxMemberAddressBytes)
	}
	return nil
}

func validateMemberID(id string) error {
	if !memberID.MatchString(id) {
		return fmt.Errorf("%.80q is not a member's ID: that is 64 lower-case hex digits", id)
	}
	return nil
}

func validateMemberName(name string) error {
	switch {
	case name == "":
		return errors.New("a member has no name: give it one with node-name")
	case len(name) > MaxMemberNameBytes || !memberName.MatchString(name) || name == "." || name == "..":
		return fmt.Errorf("%.80q is not a member's name: that is 1 to %d letters, digits, dots, dashes and underscores", name, MaxMemberNameBytes)
	}
	return nil
}

func memberFields(v visitor, m *Member) {
	v.text(1, "id", &m.ID)
	v.text(2, "name", &m.Name)
	v.text(3, "address", &m.Address)
	v.moment(4, "", &m.JoinedAt)
	v.count(5, "incarnation", &m.Incarnation)
	v.text(6, "version", &m.Version)
	v.count(7, "commands", &m.Commands)
	sha(v, 8, "settings", &m.Settings)
}

var memberShape = shape[Member]{
	kind:   recordMember,
	name:   "member",
	key:    func(m *Member) string { return m.ID },
	fields: memberFields,
}

// Removed is a node that was a member once. Its key is never admitted again.
type Removed struct {
	ID, Name    string
	At          time.Time
	Compromised bool // its key, or what it kept, may be in other hands
}

var removedShape = shape[Removed]{
	kind: recordRemoved,
	name: "removed_member",
	key:  func(r *Removed) string { return r.ID },
	fields: func(v visitor, r *Removed) {
		v.text(1, "id", &r.ID)
		v.text(2, "name", &r.Name)
		v.moment(3, "", &r.At)
		v.flag(4, "compromised", &r.Compromised)
	},
}

// Duties say which members are alive, for work that one of them does at a time.
type Duties struct {
	Epoch uint64
	Live  []string // member IDs, sorted
}

var dutiesShape = shape[Duties]{
	kind:   recordDuties,
	name:   "duties",
	key:    func(*Duties) string { return "" },
	fields: dutiesFields,
}

func dutiesFields(v visitor, d *Duties) {
	v.count(1, "epoch", &d.Epoch)
	list(v, 2, "live", MaxMembers, &d.Live, nameFields, asIs)
}

// membersLeft are the members besides the one named.
func (d *draft) membersLeft(id string) (left []*Member) {
	for m := range d.members.from("") {
		if m.ID != id {
			left = append(left, m)
		}
	}
	return left
}
