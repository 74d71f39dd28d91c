package main

import "github.com/concord-id/concord/tests/edited"

// hasty makes a node take snapshots, and shorten its log, all the time, so that
// crashes come between. What it writes, every node reads.
var hasty = []edited.Edit{
	{File: "broker/replica/open.go", Old: "snapshotEntries  = 4096", New: "snapshotEntries  = 16"},
	{File: "broker/replica/open.go", Old: "snapshotInterval = 30 * time.Second", New: "snapshotInterval = 20 * time.Millisecond"},
	{File: "broker/replica/open.go", Old: "trailingEntries  = 1024", New: "trailingEntries  = 16"},
}
