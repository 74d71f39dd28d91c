# make alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local

# What ships is built without cgo; the same flags everywhere share one build cache.
BUILD := CGO_ENABLED=0 GOFLAGS=-trimpath

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/concord
	@mkdir -p bin
	$(BUILD) go build -o bin/concord ./cmd/concord

.PHONY: demo
demo: build ## two organizations trust each other, end to end (ends by itself within a minute)
	@$(BUILD) go build -o bin/demo ./tests/demo && $(BUILD) go build -o bin/demo-workload ./tests/demo/workload
	@echo built
	@bin/demo --concord bin/concord --workload bin/demo-workload

.PHONY: demo-up
demo-up: build ## leave the demo's two domains running and print what to try (Ctrl-C ends them)
	@$(BUILD) go build -o bin/demo ./tests/demo && $(BUILD) go build -o bin/demo-workload ./tests/demo/workload
	@echo built
	@bin/demo --concord bin/concord --workload bin/demo-workload --up

.PHONY: demo-ha
demo-ha: build ## a cluster loses its leader, is restarted and replaced a node: no call fails (ends by itself within 90 s)
	@$(BUILD) go build -o bin/demo ./tests/demo && $(BUILD) go build -o bin/demo-workload ./tests/demo/workload
	@echo built
	@bin/demo --ha --concord bin/concord --workload bin/demo-workload

.PHONY: test
test: ## gofmt, vet, staticcheck, govulncheck and every test with -race
	@go run ./tests/check

.PHONY: clauses
clauses: ## every clause of the SPIFFE specifications, with its tests or why there are none yet
	@go run ./tests/clauses

.PHONY: planted
planted: ## known bugs put into the code one at a time: each must be noticed by its test
	@go run ./tests/planted

.PHONY: crash
crash: ## N kills under load and CUTS power cuts (default 200 and 0), SEED=1: nothing acknowledged is lost
	@go run ./tests/crash -kills $(or $(N),200) -cuts $(or $(CUTS),0) -seed $(or $(SEED),1)

.PHONY: fault
fault: ## faults of every kind against a cluster for T (default 10m), SEED=1: nothing that must never be (needs root)
	@go run ./tests/fault -t $(or $(T),10m) -seed $(or $(SEED),1) $(if $(ONLY),-only $(ONLY))

.PHONY: crowd
crowd: ## crowds at full size: 10,000 callers, 4,000 streams, slow readers, idle connections
	@CONCORD_CROWD=full go test -count=1 -v -timeout 30m -run 'Crowd|Thousand|Streams|Idle' ./tests/attack
	@CONCORD_CROWD=full go test -count=1 -v -timeout 30m -run 'ConnectAndDie' ./attest/process/unix

.PHONY: soak
soak: ## everything changes for T (default 10m); memory, descriptors and goroutines come back
	@CONCORD_SOAK=$(or $(T),10m) go test -count=1 -v -timeout 3h -run Soak ./tests/attack

.PHONY: fuzz
fuzz: ## every fuzz target, each for T (default 30s)
	@go run ./tests/fuzz -t $(or $(T),30s)

.PHONY: bench
bench: build ## the figures of docs/performance.md: floor, ours, ratio, aim (B=group for some)
	@$(BUILD) go run ./tests/bench $(if $(B),--group $(B))
