package federation

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Outcome is what becomes of a bundle that came from outside.
type Outcome string

// The outcomes of the guard.
const (
	Unchanged Outcome = "unchanged" // says what is held already: nothing is written
	Accept    Outcome = "accept"    // replaces what is held
	Refuse    Outcome = "refuse"    // what is held stays
)

// Rules are what the guard knows beside the two bundles. The zero Rules hold a
// bundle against the limits of this package and nothing else.
type Rules struct {
	// Own is our trust domain: nobody brings a bundle for it.
	Own spiffeid.TrustDomain
	// Holder says which trust domain already has a key in its bundle, ours
	// included. It is a lookup in the same committed cut that the current
	// bundle is from. Nil: no key is held.
	Holder Holder
	// MaxBytes of the canonical document, and MaxAuthorities in it; 0: those of this package.
	MaxBytes       int
	MaxAuthorities int
	// Operator is set when a person sets the bundle by hand. An older sequence is
	// then taken, and said aloud (SPIFFE Federation §4.2).
	Operator bool
}

// Verdict is the guard's answer.
type Verdict struct {
	Outcome Outcome
	// Reason is why, in words: never empty.
	Reason string
	// Alarms are what a person has to hear of, whatever the outcome.
	Alarms []string
	// Held are authorities that the document has and Bundle has not, because
	// another trust domain has them. While there are any, the document must be looked at
	// again even if its publisher says that it did not change.
	Held []Contest
	// Bundle is what is to be stored; what was current if it is unchanged or refused.
	Bundle *Bundle
}

// Admit judges fetched, which came from the endpoint of its trust domain,
// against current, the bundle that is held (nil: none). It is pure.
//
// A sequence never goes back; a document without one counts as the newest; an
// equal sequence with other content is a change and an alarm (SPIFFE Federation
// §4.2). An authority that another domain has is held (Trust Domain and
// Bundle §6.2), and the rest of the document counts, so that a removal never waits; a document with nothing else is refused. An
// empty bundle is a revocation and is accepted.
func Admit(current, fetched *Bundle, rules Rules, now time.Time) Verdict {
	v := Verdict{Outcome: Refuse, Bundle: current}
	if v.Reason = refusal(current, fetched, rules); v.Reason != "" {
		return v
	}
	v.Held = Contested(current, fetched, rules.Holder)
	for _, c := range v.Held {
		v.Alarms = append(v.Alarms, fmt.Sprintf("%s publishes %s, which %s has already: it is held until one of them no longer publishes it", fetched.TrustDomain.Name(), c.Authority, c.Holder.Name()))
	}
	next := without(fetched, v.Held)
	if next.Empty() && !fetched.Empty() {
		v.Reason = fmt.Sprintf("every authority in it is that of another trust domain (%s): is the URL the right one?", v.Held[0].Holder.Name())
		return v
	}
	if unchanged(current, next) {
		v.Outcome, v.Reason = Unchanged, "it says what is held already"
		v.Alarms = append(v.Alarms, ended(current, now)...)
		return v
	}
	v.Outcome, v.Bundle = Accept, next
	v.Reason = differences(current, next)
	v.Alarms = append(v.Alarms, alarms(current, next, rules, now)...)
	return v
}

// refusal says why fetched cannot count at all, "" if it can.
func refusal(current, fetched *Bundle, rules Rules) string {
	switch {
	case fetched == nil || fetched.TrustDomain.IsZero():
		return "it belongs to no trust domain"
	case fetched.TrustDomain == rules.Own:
		return fmt.Sprintf("it is for %s, our own trust domain: nobody else brings its bundle", rules.Own.Name())
	case current != nil && current.TrustDomain != fetched.TrustDomain:
		return fmt.Sprintf("it is for %s and would replace that of %s", fetched.TrustDomain.Name(), current.TrustDomain.Name())
	}
	if reason := outsize(fetched, rules); reason != "" {
		return reason
	}
	if current != nil && older(current, fetched) && !rules.Operator {
		return fmt.Sprintf("its sequence %d is older than %d, which is held: an older bundle never replaces a newer one unless an operator sets it", fetched.Sequence, current.Sequence)
	}
	return ""
}

// outsize says which limit b exceeds or which of its authorities is none.
func outsize(b *Bundle, rules Rules) string {
	most := MaxAuthorities
	if rules.MaxAuthorities > 0 {
		most = rules.MaxAuthorities
	}
	if n := len(b.X509) + len(b.JWT); n > most {
		return fmt.Sprintf("it has %d authorities, the most is %d", n, most)
	}
	for _, cert := range b.X509 {
		if err := CheckX509Authority(cert); err != nil {
			return err.Error()
		}
	}
	document, err := b.Marshal()
	if err != nil {
		return err.Error()
	}
	most = MaxBundleBytes
	if rules.MaxBytes > 0 {
		most = rules.MaxBytes
	}
	if n := len(document); n > most {
		return fmt.Sprintf("its document has %d bytes, the most is %d", n, most)
	}
	return ""
}

func older(current, fetched *Bundle) bool {
	return current.Sequenced && fetched.Sequenced && fetched.Sequence < current.Sequence
}

// unchanged reports whether next says nothing new. A sequence that is merely
// missing is not new: what was held keeps its own, and with it its protection
// against older documents.
func unchanged(current, next *Bundle) bool {
	if current == nil {
		return false
	}
	if !next.Sequenced {
		return next.SameAuthorities(current) && next.Hinted == current.Hinted && next.Hint == current.Hint
	}
	return next.Equal(current)
}

// differences says in words what next changes.
func differences(current, next *Bundle) string {
	if current == nil {
		return fmt.Sprintf("the first bundle: %d X.509 and %d JWT authorities", len(next.X509), len(next.JWT))
	}
	var parts []string
	for _, d := range []struct {
		n    int
		what string
	}{
		{len(minusX509(next, current)), "X.509 added"}, {len(minusX509(current, next)), "X.509 removed"},
		{len(minusJWT(next, current)), "JWT added"}, {len(minusJWT(current, next)), "JWT removed"},
	} {
		if d.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", d.n, d.what))
		}
	}
	if len(parts) == 0 {
		return "the same authorities, another sequence or hint"
	}
	return strings.Join(parts, ", ")
}

// alarms says what a person has to hear of when next replaces current.
func alarms(current, next *Bundle, rules Rules, now time.Time) []string {
	var out []string
	td := next.TrustDomain.Name()
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if current != nil {
		out = append(out, sequenceAlarms(current, next)...)
		if lost(current, next) {
			say("%s replaced every authority at once: SVIDs made before this change are refused from now on", td)
		}
	}
	if next.Empty() {
		say("%s has revoked everything: its bundle has no authority that is known here, and every SVID of it is refused from now on", td)
	}
	if next.Sequenced && next.Sequence == math.MaxUint64 {
		say("%s uses the last sequence there is: a later bundle can only be set by an operator", td)
	}
	for _, cert := range next.X509 {
		if other := foreignName(cert, next.TrustDomain); other != "" && (current == nil || !holdsX509(current, cert)) {
			say("%s publishes an X.509 authority whose certificate names %.120q", td, other)
		}
	}
	return append(out, ended(next, now)...)
}

func sequenceAlarms(current, next *Bundle) []string {
	td := next.TrustDomain.Name()
	switch {
	case older(current, next):
		return []string{fmt.Sprintf("an operator set sequence %d of %s, older than %d, which was held", next.Sequence, td, current.Sequence)}
	case current.Sequenced && !next.Sequenced:
		return []string{fmt.Sprintf("%s no longer gives its bundle a sequence: an older document can no longer be told from a newer", td)}
	case current.Sequenced && next.Sequence == current.Sequence:
		return []string{fmt.Sprintf("%s changed its bundle without changing its sequence %d", td, next.Sequence)}
	}
	return nil
}
