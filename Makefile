# All automation starts here; CI runs what a developer runs. `make help` lists the targets.

CARGO ?= cargo
TARGET ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
HELLO := $(TARGET)/x86_64-unknown-linux-gnu/release/hello
# The static example, as end-to-end tests and benchmarks find it.
export FREEHOLD_TEST_HELLO := $(HELLO)
export FREEHOLD_TEST_BINARY := $(TARGET)/debug/freehold
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=FREEHOLD_TEST_HELLO)

.PHONY: help setup build hello run stop test sim lint gen bench bench-clusters bench-setup

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install the system packages that building, running and testing need
	@scripts/setup.sh build run test

build: hello ## build the release binary and the example app
	@scripts/setup.sh build
	$(CARGO) build --locked --release --package cli

hello:
	@scripts/setup.sh build
	$(CARGO) rustc --locked --quiet --package hello --release --target x86_64-unknown-linux-gnu \
		-- -C target-feature=+crt-static

run: ## start Freehold here and take the example app to production
	@scripts/setup.sh build run
	@$(MAKE) --no-print-directory build
	@scripts/run.sh

stop: ## end what `make run` started and remove everything it made
	@scripts/stop.sh

test: setup hello ## run all tests; as root they cover containers and networks too
	$(CARGO) build --locked --package cli
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		echo "$(CARGO) nextest run --workspace"; \
		$(CARGO) nextest run --locked --workspace; \
	else \
		echo "$(CARGO) test --workspace"; \
		$(CARGO) test --locked --quiet --workspace --exclude lab && \
		$(CARGO) test --locked --quiet --package lab --lib; \
	fi

SEEDS ?= 1000

sim: ## the cluster under virtual time and faults: SEEDS of them from SEED on, and planted bugs
	@scripts/setup.sh build
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		SEEDS=$(SEEDS) $(CARGO) nextest run --locked --package lab --test sim \
			--cargo-profile sim --ignore-default-filter; \
	else \
		SEEDS=$(SEEDS) $(CARGO) test --locked --package lab --test sim --profile sim \
			-- --test-threads=1; \
	fi

lint: ## formatting, clippy, house rules, generated files
	@scripts/setup.sh build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --quiet --workspace --all-targets -- -D warnings
	$(CARGO) xtask tidy
	$(CARGO) xtask gen --check

gen: ## write the generated files anew
	$(CARGO) xtask gen

bench: build ## benchmarks beside their peers; ONLY=name,… runs some of them, QUICK=1 only tries them
	$(CARGO) build --locked --release --package bench
	@$(AS_ROOT) $(TARGET)/release/bench $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) \
		$(if $(WITHIN),--within $(WITHIN))

CLUSTERS := deploy-12,update-100,host-loss,hypervisor-loss,leader-loss,vip-loss
CLUSTERS := $(CLUSTERS),long-connection,mtu-load,singleton
CLUSTERS := $(CLUSTERS),fail-static,static-kill,control-cut,loss-30,cut-off,cold-start,etcd-loss

bench-clusters: ## whole clusters beside Docker Swarm, two hours; WITHIN=seconds a benchmark, again to go on
	@$(MAKE) --no-print-directory bench ONLY=$(CLUSTERS)

bench-setup: ## install the peers of the benchmarks
	@scripts/bench-setup.sh
