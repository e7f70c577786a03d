# Everything needs only Rust, Node and apt on the machine; what else is missing, tests/install brings.
# What is built or installed lives outside the clone, so that every clone shares it.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/restante
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PATH := $(PATH):$(CACHE)/tools/bin
export PYTHONDONTWRITEBYTECODE := 1
VENV := $(CACHE)/venv/bin
# The clone's own copy: another clone that builds meanwhile replaces what lies in the shared cache.
BINARY := $(CURDIR)/target/restante
KEEP := mkdir -p target && cp -f $(CARGO_TARGET_DIR)/debug/restante
# End-to-end tests wait more than they work: two files of them at a time. The long campaigns measure, and have the machine alone.
WORKERS ?= 2
E2E := RESTANTE_BINARY=$(BINARY) $(VENV)/pytest -c tests/pytest.ini tests/e2e

# How long each fuzz target runs.
FUZZ_SECONDS ?= 60

.PHONY: help demo test soak faults web web-test web-screenshots build fmt fmt-check lint deny unit fuzz e2e bench-mailstore
help:
	@echo 'make demo   run the whole service on a private PostgreSQL and a local directory, with sample mail'
	@echo 'make test   everything that CI runs'
	@echo 'make soak   the long campaigns; writes docs/soak.md'
	@echo 'make bench-mailstore   measures the mailstore; writes the figures of docs/mailstore.md'
	@echo 'make build  the binary (debug)        make fmt    format Rust and Python'
	@echo 'make web    the console alone'
	@echo 'make lint   clippy, cargo deny, ruff  make unit   tests of the crates'
	@echo 'make fuzz   every fuzz target, FUZZ_SECONDS=60 each; see docs/fuzzing.md'
	@echo 'make e2e    end-to-end tests (ARGS="-k lmtp" chooses)'
	@echo 'make web-test  walks through the console in Chromium; make web-screenshots  pictures of its pages'

demo:
	@tests/install demo
	@$(MAKE) --no-print-directory --silent web
	@cargo build --locked --quiet -p restante
	@$(KEEP) $(BINARY)
	@exec $(BINARY) dev --data-dir ./demo-data --demo

test:
	@tests/timed begin
	@tests/timed install tests/install
	@tests/timed format $(MAKE) --no-print-directory fmt-check
	@tests/timed lint $(MAKE) --no-print-directory lint
	@tests/timed deny $(MAKE) --no-print-directory deny
	@tests/timed build $(MAKE) --no-print-directory build
	@tests/timed unit $(MAKE) --no-print-directory unit
	@tests/timed fuzz env FUZZ_SEED=1 $(MAKE) --no-print-directory fuzz FUZZ_SECONDS=20
	@tests/timed web $(MAKE) --no-print-directory web-test
	@tests/timed e2e $(MAKE) --no-print-directory e2e
	@tests/timed end

soak:
	@tests/install
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=600
	@$(MAKE) --no-print-directory faults
	RESTANTE_FAULTS_BINARY=$(CURDIR)/target/restante-faults $(E2E) --soak -m soak $(ARGS)

# The binary with deliberate faults, kept apart; then the one without them again.
faults:
	cargo build --locked -p restante --features faults
	@$(KEEP) $(CURDIR)/target/restante-faults
	@$(MAKE) --no-print-directory build

# The console, which the binary holds: built where it is older than its sources.
WEB := web-admin
# What is generated from openapi.json is written anew by each check.
WEB_SOURCES = $(shell find $(WEB) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/src/client/schema.d.ts' \
	-not -path '*/src/client/sorts.json')
web: $(WEB)/dist/index.html

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json
	npm --prefix $(WEB) ci --ignore-scripts --no-audit --no-fund --loglevel=error

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB_SOURCES)
	npm --prefix $(WEB) run --silent build

build: web
	cargo build --locked -p restante
	@$(KEEP) $(BINARY)

fmt:
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(VENV)/ruff format --quiet tests

fmt-check:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	$(VENV)/ruff format --quiet --check tests

lint: web
	cargo clippy --locked --workspace --all-targets -- -D warnings
	npm --prefix $(WEB) run --silent check
	$(VENV)/ruff check --quiet tests

deny:
	cargo fetch --locked --quiet
	cargo deny --offline --locked --config .deny.toml check licenses bans sources
	cargo fetch --locked --quiet --manifest-path fuzz/Cargo.toml
	# Without licences: what the targets use beside the crates above is in no program.
	cargo deny --offline --locked --manifest-path fuzz/Cargo.toml --config .deny.toml check bans sources

unit: web
	npm --prefix $(WEB) run --silent test
	tests/with-postgres cargo nextest run --locked --workspace

fuzz:
	tests/fuzz $(FUZZ_SECONDS)

# In a browser, against the program as it was built. WALKS=sign-in,mail chooses.
web-test: build
	RESTANTE_BINARY=$(BINARY) node --test-reporter=spec tests/web/main.mjs

# Every page in both themes, narrow, usual and wide, into SCREENSHOTS.
SCREENSHOTS ?= target/screenshots
web-screenshots: build
	RESTANTE_BINARY=$(BINARY) node tests/web/screenshots.mjs $(SCREENSHOTS)

e2e: build
	$(E2E) -n $(WORKERS) --dist loadfile $(ARGS)

bench-mailstore:
	@tests/install
	@$(MAKE) --no-print-directory build
	cd tests && RESTANTE_BINARY=$(BINARY) $(VENV)/python -m bench.mailstore $(ARGS)
