package state

import "github.com/concord-id/concord/ca"

// TaintAuthority says that an authority's key may be in other hands. The
// active one cannot be tainted: activate the next one first.
type TaintAuthority struct {
	Use ca.Use
	ID  string
}
