package unix

// What the tests of parsers and of older kernels reach inside for.
var (
	ParseStat     = parseStat
	ParseAccounts = parseAccounts
	NewGate       = newGate
	Enter         = (*gate).enter
)

const PerUser = perUser

// Lanes is how many users g knows.
func Lanes(g *gate) int { return len(g.lanes) }

// ParseStatus returns the effective user and group, and the groups.
func ParseStatus(status []byte) (uid, gid uint32, groups string, err error) {
	c, err := parseStatus(status)
	return c.uid, c.gid, c.groups, err
}

// OpenByPID makes l open its peers' descriptors as on a kernel before 6.5.
func (l *Listener) OpenByPID() { l.open = openPidfd }

// Remembered is how many programs' digests a knows without reading.
func (a *Attestor) Remembered() int { return len(a.digests.known) }

// RememberMany makes a remember n digests.
func (a *Attestor) RememberMany(n uint64) {
	for i := range n {
		a.digests.remember(stamp{ino: i}, "")
	}
}

// NamesIn returns a function that says what names path has now.
func NamesIn(path string) func() (map[uint32]string, error) {
	return (&accounts{path: path}).names
}
