package node_test

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker/node"
)

func TestWhichServerAConnectionIsForIsKnownByItsFirstBytes(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, c := range map[string]struct {
		said []string
		want string
	}{
		"gRPC":                  {[]string{preface}, preface},
		"gRPC, byte by byte":    {bytewise(preface), preface},
		"REST":                  {[]string{"GET /v1/status HTTP/1.1\r\n"}, "GET /v1/status HTTP/1.1\r"},
		"REST, byte by byte":    {bytewise("GET /"), "G"},
		"REST with a P":         {bytewise("PUT /"), "PU"},
		"all but the last byte": {[]string{preface[:len(preface)-1], "X"}, preface[:len(preface)-1] + "X"},
		"more than a preface":   {[]string{preface + "frames"}, preface},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer here.Close()
				defer there.Close()
				go func() {
					for _, part := range c.said {
						if _, err := there.Write([]byte(part)); err != nil {
							return
						}
					}
				}()
				got, err := node.FirstBytes(here)
				if err != nil || string(got) != c.want {
					t.Errorf("got %q, %v, want %q", got, err, c.want)
				}
			})
		})
	}
}

func bytewise(text string) (parts []string) {
	for i := range len(text) {
		parts = append(parts, text[i:i+1])
	}
	return parts
}

// However slowly somebody speaks: the time is for all of the first bytes.
func TestWhoeverSaysNothingIsHungUpOnInTime(t *testing.T) {
	for name, every := range map[string]time.Duration{"silence": time.Hour, "a byte a second": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var speaking sync.WaitGroup
				speaking.Go(func() {
					for _, b := range bytewise("PRI * HTTP/2.0\r\n\r\nSM") {
						time.Sleep(every)
						if _, err := there.Write([]byte(b)); err != nil {
							return
						}
					}
				})
				begun := time.Now()
				if got, err := node.FirstBytes(here); err == nil {
					t.Errorf("got %q", got)
				}
				if took := time.Since(begun); took != node.PrefaceTimeout {
					t.Errorf("it took %s", took)
				}
				here.Close()
				speaking.Wait()
			})
		})
	}
}
