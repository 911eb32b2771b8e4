# `make` alone says what there is. Go is enough for run and build; scripts/
# install what the other targets need.
GO ?= go
# go test packages of `make bench` and `make fuzz`, and how long each fuzz target runs.
PKG ?= ./...
FUZZTIME ?= 20s

# How often `make soak` kills the server on each database.
KILLS ?= 3000

.PHONY: help run build test check lint needs bench fuzz soak ui fmt

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: ## a server with a demo page on http://127.0.0.1:8000
	@echo 'Building; the first time takes a minute.'
	@$(GO) build -o bin/kuranty ./cmd/kuranty && exec bin/kuranty demo

build: ## the binary, in bin/kuranty
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/kuranty ./cmd/kuranty

test: ## all tests: unit with the race detector, protocol, official JS client, browser
	scripts/test.sh

check: ## format, lint, vet, then `make test`
	$(MAKE) --no-print-directory -j2 lint needs
	$(MAKE) --no-print-directory test

lint:
	scripts/lint.sh

needs: # while lint.sh compiles
	scripts/need.sh tests

bench: ## benchmarks; PKG=./protocol for one package
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)

fuzz: ## every fuzz target for FUZZTIME (20s); PKG=./protocol for one package
	scripts/fuzz.sh $(FUZZTIME) $(PKG)

soak: ## kills the server KILLS times (3000) under load, on both databases, and compares
	scripts/need.sh postgres
	SOAK_KILLS=$(KILLS) $(GO) test -run "Ledger|SurviveKills" -v -timeout 12h ./internal/servertest

ui: ## rebuilds the web bundle in internal/webui/dist
	scripts/need.sh web
	$(GO) run ./internal/webui/build

fmt: ## formats the Go code
	scripts/need.sh tools
	.tools/bin/gofumpt -w $$(git ls-files '*.go')
