package endpoint

import (
	"strconv"
	"time"

	"github.com/concord-id/concord/federation"
)

// page is an answer made beforehand. Its header values are put into the header
// of each answer as they are and never changed.
type page struct {
	of           *federation.Published
	document     []byte
	etag         []string
	length       []string
	cacheControl []string
}

// cacheShare of the refresh hint is how long a cache may answer in our place.
// Whoever polls through one at the hint then learns of a change at most a
// tenth of the hint later than without it, far within the publication window
// of three hints (SPIFFE Federation §4.1, §5.2.1.3).
const cacheShare = 10

var (
	contentType = []string{"application/json"}
	revalidate  = []string{"max-age=0, must-revalidate"}
)

func newPage(p *federation.Published) *page {
	made := &page{
		of:           p,
		document:     p.Document,
		etag:         []string{p.ETag},
		length:       []string{strconv.Itoa(len(p.Document))},
		cacheControl: revalidate,
	}
	if seconds := p.Bundle.Hint / cacheShare / time.Second; seconds > 0 {
		made.cacheControl = []string{"max-age=" + strconv.FormatInt(int64(seconds), 10) + ", must-revalidate"}
	}
	return made
}
