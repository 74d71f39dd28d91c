package main

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const askTimeout = 10 * time.Second

func client(ctx context.Context, socket string) (*workloadapi.Client, error) {
	return workloadapi.New(ctx, workloadapi.WithAddr("unix://"+socket))
}

// show asks once who we are; the Workload API's own answer is the error.
func show(ctx context.Context, args []string) error {
	if err := want(args, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := client(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.FetchX509Context(ctx)
	if err != nil {
		return err
	}
	svid := answer.DefaultSVID()
	r := report{Event: "svid", ID: svid.ID.String(), Authority: hex.EncodeToString(svid.Certificates[len(svid.Certificates)-1].AuthorityKeyId)}
	for _, b := range answer.Bundles.Bundles() {
		r.Bundles = append(r.Bundles, b.TrustDomain().Name())
	}
	say(r)
	return nil
}

func token(ctx context.Context, args []string) error {
	if err := want(args, 2); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := client(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	svid, err := c.FetchJWTSVID(ctx, jwtsvid.Params{Audience: args[1]})
	if err != nil {
		return err
	}
	say(report{Event: "jwt", ID: svid.ID.String(), Token: svid.Marshal(), Audience: svid.Audience})
	return nil
}

func validate(ctx context.Context, args []string) error {
	if err := want(args, 3); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := client(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	svid, err := c.ValidateJWTSVID(ctx, args[2], args[1])
	if err != nil {
		return err
	}
	say(report{Event: "valid", ID: svid.ID.String(), Audience: svid.Audience})
	return nil
}
