package rotate_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/rotate"
)

func TestAKeyTurnsByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		defer d.lead()()
		d.settles(t, 45*day-time.Minute, nil)
		d.settles(t, 2*time.Minute, []string{"activate x5092", "activate jwt4", "prepare x5095", "prepare jwt6"})
		d.settles(t, time.Hour, []string{"remove jwt3"})
		d.settles(t, day, []string{"remove x5091"})
	})
}

// settles lets time pass and compares what was committed meanwhile.
func (d *domain) settles(t *testing.T, after time.Duration, want []string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if got := d.history(); !slices.Equal(got, want) {
		t.Errorf("after %s: %q, want %q", after, got, want)
	}
}

func TestAYearOfTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		defer d.lead()()
		for range 365 {
			time.Sleep(day)
			synctest.Wait()
			for _, use := range []ca.Use{ca.X509, ca.JWT} {
				d.mu.Lock()
				active, next := d.find(use, ca.Active), d.find(use, ca.Prepared)
				if active == nil || next == nil || time.Until(active.NotAfter) < d.terms.VouchFor(use) {
					t.Errorf("%s: active %+v, next %+v", use, active, next)
				}
				d.mu.Unlock()
			}
		}
		// A prepared authority waits a third of its life, and signs a third.
		if n := len(d.history()); n < 2*3*10 || n > 2*3*14 {
			t.Errorf("%d changes in a year", n)
		}
	})
}

func TestAnActivationByCommandIsFollowedByTheNextKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		defer d.lead()()
		time.Sleep(time.Hour)
		if err := d.Activate(t.Context(), ca.X509, "x5092", d.terms.VouchFor(ca.X509)); err != nil {
			t.Fatal(err)
		}
		d.settles(t, 0, []string{"activate x5092", "prepare x5095"})
		d.settles(t, day+time.Hour, []string{"remove x5091"})
	})
}

func TestATaintedNextKeyIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		defer d.lead()()
		d.with(func(d *domain) { d.find(ca.JWT, ca.Prepared).Tainted = true })
		d.settles(t, 0, []string{"remove jwt4", "prepare jwt5"})
	})
}

func TestARefusedProposalRestsAndHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.refuse = func(what string) error {
			if what == "activate x5092" {
				return errRefused
			}
			return nil
		}
		defer d.lead()()
		d.settles(t, 46*day, []string{"activate jwt4", "prepare jwt5", "remove jwt3"})
		before := d.proposals()
		for range 1000 { // a busy ledger does not hurry it
			d.with(func(*domain) {})
			time.Sleep(60 * time.Millisecond)
		}
		if asked := d.proposals() - before; asked > 2 {
			t.Errorf("proposed %d times in a minute", asked)
		}
		d.with(func(d *domain) { d.refuse = nil })
		d.settles(t, time.Minute, []string{"activate x5092", "prepare x5096"})
	})
}

// Each proposal is refused once, or committed and reported as failed once.
func TestEveryProposalMayFailOnce(t *testing.T) {
	for name, breakAt := range map[string]func(*domain, func(string) error){
		"not persisted":                 func(d *domain, f func(string) error) { d.refuse = f },
		"persisted but reported failed": func(d *domain, f func(string) error) { d.lose = f },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := founded(t)
				failed := map[string]bool{}
				breakAt(d, func(what string) error {
					kind, _, _ := strings.Cut(what, " ")
					kind += what[len(kind)+1 : len(kind)+2]
					if failed[kind] {
						return nil
					}
					failed[kind] = true
					return errors.New("unavailable: the outcome is not known")
				})
				defer d.lead()()
				time.Sleep(47 * day)
				synctest.Wait()
				if len(failed) != 6 {
					t.Errorf("failed at %v, want at six places", failed)
				}
				count := map[string]int{}
				for _, what := range d.history() {
					kind, _, _ := strings.Cut(what, " ")
					count[kind]++
				}
				if count["prepare"] != 2 || count["activate"] != 2 || count["remove"] != 2 {
					t.Errorf("committed %v, want each twice, once a use", count)
				}
				for _, use := range []ca.Use{ca.X509, ca.JWT} {
					if got := d.Authorities(use); len(got) != 2 {
						t.Errorf("%s has %d authorities", use, len(got))
					}
				}
			})
		})
	}
}

func TestLosingLeadershipInAProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		proposing := make(chan struct{})
		stuck := stuckDomain{domain: d, proposing: proposing}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- rotate.New(stuck, d, d, slog.New(slog.DiscardHandler)).Run(ctx) }()
		<-proposing // 45 days later
		cancel()
		start := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if time.Since(start) > 0 {
			t.Errorf("it took %s to end", time.Since(start))
		}
		if did := d.history(); did != nil {
			t.Errorf("committed %q", did)
		}
		time.Sleep(day) // nobody leads
		if did := d.history(); did != nil {
			t.Errorf("without a leader: %q", did)
		}
		defer d.lead()()
		d.settles(t, 0, []string{"activate x5092", "activate jwt4", "prepare x5095", "prepare jwt6"})
	})
}

// stuckDomain never answers a proposal, like a leader that was cut off.
type stuckDomain struct {
	*domain
	proposing chan struct{}
}

func (d stuckDomain) Activate(ctx context.Context, _ ca.Use, _ string, _ time.Duration) error {
	close(d.proposing)
	<-ctx.Done()
	return ctx.Err()
}

func TestNothingTurnsWhileTheClocksDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.clocks = errors.New("2 of 3 members' clocks differ by more than a minute")
		defer d.lead()()
		d.settles(t, 46*day, nil)
		d.with(func(d *domain) { d.clocks = nil })
		d.settles(t, time.Minute, []string{"activate x5092", "activate jwt4", "prepare x5095", "prepare jwt6"})
	})
}

func TestFD_3_AnActivationWaitsForTheLastMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.spread = errors.New("n3 has not published it")
		defer d.lead()()
		d.settles(t, 46*day, nil)
		d.with(func(d *domain) { d.spread = nil })
		d.settles(t, time.Minute, []string{"activate x5092", "activate jwt4", "prepare x5095", "prepare jwt6"})
	})
}

func TestFD_2_AnActivationWaitsForTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.life = slices.DeleteFunc(d.life, func(a ca.Authority) bool { return a.Status == ca.Prepared })
		for i := range d.life { // their time has come, and the next were lost
			d.life[i].NotAfter = d.life[i].ActivatedAt
		}
		defer d.lead()()
		d.settles(t, 0, []string{"prepare x5095", "prepare jwt6"})
		d.settles(t, 3*time.Minute-time.Second, nil)
		d.settles(t, time.Second, []string{"activate x5095", "activate jwt6", "prepare x5097", "prepare jwt8"})
	})
}

func TestAKeyThatCannotBeMadeIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.life = slices.DeleteFunc(d.life, func(a ca.Authority) bool { return a.Status == ca.Prepared })
		d.maker = errors.New("no entropy")
		defer d.lead()()
		d.settles(t, time.Hour, nil)
		d.with(func(d *domain) { d.maker = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if did := d.history(); len(did) != 2 {
			t.Errorf("committed %q, want a next key of each use", did)
		}
	})
}

func TestADomainThatIsNotFoundedIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		d.life = nil
		defer d.lead()()
		d.settles(t, 100*day, nil)
	})
}

func TestTheTurnerEndsWithItsLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := founded(t)
		broken := errors.New("the feed ended")
		d.with(func(d *domain) { d.broken = broken })
		err := rotate.New(d, d, d, slog.New(slog.DiscardHandler)).Run(t.Context())
		if !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
	})
}
