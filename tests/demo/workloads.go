package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// report is a line that a workload prints.
type report struct {
	Event     string   `json:"event"`
	ID        string   `json:"id"`
	Peer      string   `json:"peer"`
	Authority string   `json:"authority"`
	Address   string   `json:"address"`
	Error     string   `json:"error"`
	Token     string   `json:"token"`
	Audience  []string `json:"audience"`
	Calls     int      `json:"calls"`
	Successes int      `json:"successes"`
	Bundles   []string `json:"bundles"`
}

// workload is a running program of one of the organizations.
type workload struct {
	*process
	address string
	id      string
}

// program makes a program of its own name.
func (s *stage) program(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, copyFile(s.workload, path)
}

// startWorkload starts a program that says when it is ready.
func (s *stage) startWorkload(ctx context.Context, program string, args ...string) (*workload, error) {
	p, err := s.start("workload "+filepath.Base(program), true, program, args...)
	if err != nil {
		return nil, err
	}
	w := &workload{process: p}
	r, err := w.next(ctx, "ready")
	if err != nil {
		return nil, err
	}
	w.address, w.id = r.Address, r.ID
	return w, nil
}

// next returns the next line of that event; an error line fails.
func (w *workload) next(ctx context.Context, event string) (report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, fmt.Errorf("no %q line within 20 s", event))
	defer cancel()
	for {
		line, err := w.line(ctx)
		if err != nil {
			return report{}, err
		}
		var r report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return report{}, fmt.Errorf("%s printed %q: %w", w.name, line, err)
		}
		if r.Event == "error" {
			return report{}, errors.New(r.Error)
		}
		if r.Event == event {
			return r, nil
		}
	}
}

// once runs a program to its end and returns what it said.
func (s *stage) once(ctx context.Context, event, program string, args ...string) (report, error) {
	p, err := s.start("workload "+filepath.Base(program), false, program, args...)
	if err != nil {
		return report{}, err
	}
	return (&workload{process: p}).next(ctx, event)
}

// callOnce has a caller's program make one call, and returns what it saw.
func (s *stage) callOnce(ctx context.Context, caller string, home *domain, callee *workload) (report, error) {
	return s.once(ctx, "called", caller, "call", home.workloadSocket(), callee.address, callee.id)
}

// forget drops the lines printed so far, so that the next one is news.
func (w *workload) forget() {
	for {
		select {
		case _, open := <-w.lines:
			if !open {
				return
			}
		default:
			return
		}
	}
}
