package fetch

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// answer is a response as far as a fetch needs it.
type answer struct {
	status   int
	body     []byte // status 200: the document, inflated
	location string // a redirect's target, as sent
	etag     string // "" if there is none that may be sent back
	bytes    int    // of the body as sent
	whole    bool   // the response was read to its end
	reusable bool   // the connection may carry the next request
}

// readers are lent to connections for the time of a response.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// receive reads one response from r. It waits for patience until the headers
// are complete, which is the connection's to enforce; bodyBegins is called
// then. heard reports whether anything came at all.
func (f *fetcher) receive(r io.Reader, patience time.Duration, bodyBegins func()) (a *answer, heard bool, err error) {
	br := readers.Get().(*bufio.Reader)
	defer func() { br.Reset(nil); readers.Put(br) }()
	bound := &headerBound{r: r, left: f.limits.HeaderBytes}
	br.Reset(bound)
	resp, err := readHeaders(br)
	heard = bound.left < f.limits.HeaderBytes
	if err != nil && bound.left <= 0 {
		return nil, heard, fmt.Errorf("the response's headers are over %s", bytesInWords(f.limits.HeaderBytes))
	}
	if err != nil {
		return nil, heard, transferError("before the response's headers were complete", patience, err)
	}
	bound.lift()
	bodyBegins()
	a, err = f.read(resp) // never closed: Close would read a hostile body to its end
	if err != nil {
		return nil, heard, err
	}
	a.reusable = a.whole && !resp.Close && br.Buffered() == 0
	return a, heard, nil
}

// maxInformational bounds the 1xx responses before the one that counts.
const maxInformational = 4

func readHeaders(br *bufio.Reader) (*http.Response, error) {
	for range maxInformational + 1 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, err
		}
		if resp.ProtoMajor != 1 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("not an HTTP/1.1 response")
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
	}
	return nil, errors.New("too many informational responses")
}

// headerBound lets only so many bytes through until it is lifted: net/http sets
// no limit to the headers that ReadResponse takes.
type headerBound struct {
	r      io.Reader
	left   int
	lifted bool
}

func (b *headerBound) Read(p []byte) (int, error) {
	if b.lifted {
		return b.r.Read(p)
	}
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *headerBound) lift() { b.lifted = true }

// read takes from a response what its status says is there. Bodies of anything
// but a 200 are not read.
func (f *fetcher) read(resp *http.Response) (*answer, error) {
	a := &answer{status: resp.StatusCode, etag: etagOf(resp.Header)}
	switch resp.StatusCode {
	case http.StatusOK:
		raw := &counter{r: resp.Body, most: f.limits.Body}
		body, err := f.readBody(resp, raw)
		if err != nil {
			return nil, err
		}
		a.body, a.bytes, a.whole = body, raw.n, true
	case http.StatusNotModified:
		a.whole = true
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		locations := resp.Header.Values("Location")
		if len(locations) != 1 {
			return nil, fmt.Errorf("the peer answered %s without one Location", statusInWords(resp.StatusCode))
		}
		a.location = locations[0]
	}
	return a, nil
}

// readBody returns the document of a 200. It holds no more than the limit, as
// sent and inflated.
func (f *fetcher) readBody(resp *http.Response, raw *counter) ([]byte, error) {
	if resp.ContentLength > int64(f.limits.Body) {
		return nil, f.tooLong()
	}
	var plain io.Reader = raw
	coding := strings.ToLower(strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ",")))
	switch coding {
	case "", "identity":
	case "gzip", "x-gzip":
		inflater, err := gzip.NewReader(raw)
		if err != nil {
			return nil, f.bodyError(err)
		}
		plain = inflater
	default:
		return nil, fmt.Errorf("the peer sent the bundle with content coding %q, which was not asked for: it must send it plain or as gzip", printable(coding, 40))
	}
	body, err := io.ReadAll(io.LimitReader(plain, int64(f.limits.Body)+1))
	if err != nil {
		return nil, f.bodyError(err)
	}
	if len(body) > f.limits.Body {
		return nil, f.tooLong()
	}
	return body, nil
}

func (f *fetcher) tooLong() error {
	return fmt.Errorf("the bundle is over %s, the most that is read: the peer must publish fewer authorities", bytesInWords(f.limits.Body))
}

func (f *fetcher) bodyError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, errTooLong):
		return f.tooLong()
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return errors.New("the peer sent a gzip body that cannot be inflated")
	case isTimeout(err):
		return fmt.Errorf("the peer sent the bundle slower than %s a second after the first %s", bytesInWords(f.limits.Floor), f.limits.Grace)
	}
	return transferError("before the bundle was complete", f.limits.Grace, err)
}

var errTooLong = errors.New("too long")

// counter counts what is read, and fails once that is more than most.
type counter struct {
	r    io.Reader
	n    int
	most int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	if c.n > c.most {
		return 0, errTooLong
	}
	return n, err
}
