package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
)

// Limits of the cluster.
const (
	MaxMembers            = 15
	MaxMemberNameBytes    = 63
	MaxMemberAddressBytes = 255
	MaxMemberVersionBytes = 64
)

var (
	keyHash   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
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
	if err := validateKeyHash("a member", m.ID); err != nil {
		return err
	}
	if err := validateMemberName(m.Name); err != nil {
		return err
	}
	if m.Version == "" || len(m.Version) > MaxMemberVersionBytes || !utf8.ValidString(m.Version) {
		return fmt.Errorf("member %s has a version %.40q that is not UTF-8 of 1 to %d bytes", m.Name, m.Version, MaxMemberVersionBytes)
	}
	if !Dialable(m.Address) {
		return fmt.Errorf("member %s has the address %.80q, which is not host:port of at most %d bytes", m.Name, m.Address, MaxMemberAddressBytes)
	}
	if m.Commands == 0 {
		return fmt.Errorf("member %s does not say which commands it knows", m.Name)
	}
	return nil
}

// Dialable reports whether address is a host's name or IP address, and a port.
func Dialable(address string) bool {
	if len(address) > MaxMemberAddressBytes || !utf8.ValidString(address) {
		return false
	}
	if numeric, err := netip.ParseAddrPort(address); err == nil {
		return numeric.Port() != 0
	}
	at := strings.LastIndexByte(address, ':')
	if at < 0 || !plainName.MatchString(address[:at]) {
		return false
	}
	port, err := strconv.ParseUint(address[at+1:], 10, 16)
	return err == nil && port != 0
}

// validateKeyHash wants the SHA-256 of a key, by which members and join tokens
// are named.
func validateKeyHash(whose, id string) error {
	if !keyHash.MatchString(id) {
		return fmt.Errorf("%.80q is not %s's ID: that is 64 lower-case hex digits", id, whose)
	}
	return nil
}

func validateMemberName(name string) error {
	switch {
	case name == "":
		return errors.New("a member has no name: give it one with node-name")
	case len(name) > MaxMemberNameBytes || !plainName.MatchString(name) || name == "." || name == "..":
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
	sha(v, 8, "", &m.Settings)
	v.derived("settings", func() string {
		if m.Settings == ([32]byte{}) {
			return ""
		}
		return hex.EncodeToString(m.Settings[:])
	})
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
	// Resealed is the log index of the Reseal after which the key-encryption key
	// that it knows opens nothing; 0: there was none yet.
	Resealed uint64
	Force    bool // Compromised, and what it could open is replaced without waiting
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
		v.count(5, "", &r.Resealed)
		v.flag(6, "force", &r.Force)
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
	list(v, 2, "live", MaxMembers, &d.Live, nameFields, func(id string) string { return fmt.Sprintf("%.12s", id) })
}

// memberNamed returns the member with a name, nil if there is none.
func (t tables) memberNamed(name string) *Member {
	for m := range t.members.from("") {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// nameIsFree refuses a name that another member has.
func (d *draft) nameIsFree(m Member) error {
	if other := d.memberNamed(m.Name); other != nil && other.ID != m.ID {
		return broker.Refuse(broker.AlreadyExists, "another member is named %s: its key is %.12s; choose another node-name, or remove that member", other.Name, other.ID)
	}
	return nil
}
