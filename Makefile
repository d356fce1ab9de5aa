# coho: what can be done here. `make` alone lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/bash

# One target folder outside the checkout: the dependencies are built once for all targets.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/coho/target
export CARGO_TERM_PROGRESS_WHEN ?= auto
COHO := $(CARGO_TARGET_DIR)/debug/coho

.PHONY: help setup build models demo test lint golden bench bench-ingest retrieval answers quotes abstention evidence writeback learning clients load connectors vsix test-connectors scale chunks tune eval-smoke eval-paper called-bad harness kills converge files fuzz release install clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the build needs (cmake, libclang, protoc), or say how
	@.ci/setup

build: setup ## build coho for work, demo and tests (the first time takes half an hour on two cores)
	cargo build --locked

models: build ## install the default models into the cache
	$(COHO) models install

demo: models ## the whole main job on the sample vault: add, ask, edit, ask again
	@python3 tests/demo.py $(COHO)

test: models ## run all tests
	cargo test --locked

lint: setup ## formatting, clippy, documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

golden: models ## rewrite schemas/ from the code and from what a real service answers
	COHO_GOLDEN=write cargo test --locked --test it golden

bench: models ## measure the service on a real vault (COHO_EVAL_DATA) and keep the figures
	@python3 tests/bench.py $(COHO)

bench-ingest: models ## measure syncs, memory, and the index after many edits (COHO_EVAL_DATA; 15 minutes)
	@python3 tests/ingest.py $(COHO)

# Knowledge bases of the evaluation sets: embedded once, kept beside the builds.
EVAL := COHO_HOME=$(HOME)/.cache/coho/eval COHO_CONFIG=$(HOME)/.cache/coho/eval/config.toml $(COHO) eval
TUNED := squad2_cs224n squadshifts_newwiki nq_oracle hotpotqa boolq_dev fm2 scifact lihuaworld \
	til_knownitem xquad/de xquad/es xquad/ru xquad/zh

eval-smoke: models ## ask the 60 questions about the sample vault and keep the figures
	$(EVAL) run smoke --out eval/results/smoke.json

retrieval: models ## compare words, vectors, RRF and coho on the sets of COHO_EVAL_DATA (an hour the first time)
	$(EVAL) run retrieval --resume --out eval/results/retrieval.json

answers: models ## compare the strategies on the sets with answers (COHO_EVAL_DATA; hours, goes on where it stopped)
	$(EVAL) run answers --resume --log eval/results/answers.jsonl.zst --out eval/results/answers.json

quotes: models ## what `cascade` answers without a model's words, on six sets, after a change (COHO_EVAL_DATA; a quarter of an hour)
	$(EVAL) run eval/suites/quotes.toml --out eval/results/quotes.json

called-bad: models ## call wrong answers bad and ask once more, on six sets (COHO_EVAL_DATA; a quarter of an hour)
	$(EVAL) run eval/suites/called-bad.toml --out eval/results/called-bad.json

abstention: models ## what refusing by each signal would do, on questions that the documents do not answer (COHO_EVAL_DATA)
	$(EVAL) run answers --set squad2_cs224n --strategy extractive cascade --out eval/results/abstention.json

evidence: models ## compare how much the model reads: accuracy against prompt tokens (COHO_EVAL_DATA; hours)
	$(EVAL) run evidence --resume --out eval/results/evidence.json

writeback: models ## learn from half of the questions of two sets and ask the others (COHO_EVAL_DATA; two hours)
	COHO_WRITEBACK_MODEL_GATES=false $(EVAL) run writeback --resume --out eval/results/writeback.json

harness: models ## what the harness itself costs, and a set from nothing against again (COHO_EVAL_DATA; 5 minutes)
	@python3 tests/harness.py $(COHO)

eval-paper: models ## the table of the paper: sets, strategies, units and controls (COHO_EVAL_DATA; days, goes on where it stopped)
	COHO_WRITEBACK_MODEL_GATES=false $(EVAL) run paper --resume --out eval/results/paper.json
	$(EVAL) report paper --html eval/results/paper.html

learning: models ## what writeback must never do (poison, staleness, ten rounds), and what a ready unit costs
	@python3 tests/learning.py $(COHO)

# What the official clients need, beside the builds.
CLIENTS := $(HOME)/.cache/coho/clients

clients: models ## drive the service with the official clients of OpenAI and MCP, schemathesis and Chromium
	@test -x $(CLIENTS)/bin/python || python3 -m venv $(CLIENTS)
	@$(CLIENTS)/bin/pip -q install openai==3.57.0 mcp==2.3.0 schemathesis==4.32.5 openapi-spec-validator
	@test -d $(CLIENTS)/node_modules || npm install --silent --prefix $(CLIENTS) playwright-core@1.64.1 axe-core
	@$(CLIENTS)/bin/python tests/clients.py $(COHO) $$(command -v chromium >/dev/null && echo node $(CLIENTS) $(CLIENTS)/pictures \
		|| echo "the page is not tried: install chromium" >&2)

load: models ## many clients at once, and an hour of mixed load (COHO_EVAL_DATA, wrk; COHO_LOAD_MINUTES)
	@python3 tests/load.py $(COHO)

# The tools that build and check what is written in TypeScript lie where they are used, ignored by git.
connectors: ## build the connectors for VS Code and Obsidian (needs Node.js 20)
	@cd connectors/typescript && npm ci --silent --no-audit --no-fund && npm run --silent check && npm run --silent build

vsix: connectors ## package the extension for VS Code: connectors/vscode/coho.vsix
	@cd connectors/vscode && ../typescript/node_modules/.bin/vsce package --no-dependencies --allow-missing-repository --skip-license -o coho.vsix

test-connectors: models connectors ## drive the editor plugins headless against a real service (neovim, emacs, chromium)
	@python3 tests/connectors.py $(COHO) $(CLIENTS)

tune: models ## look for better weights of the ranking on the same sets; changes nothing
	$(EVAL) tune $(TUNED) --split test --limit 800 --json > .weights.json && mv .weights.json eval/results/weights.json

chunks: models ## compare sizes of chunks on the set with answer spans
	$(EVAL) chunks --json > .chunks.json && mv .chunks.json eval/results/chunks.json

scale: models ## time searches among 10,000, 100,000 and a million chunks (after `make retrieval`)
	$(EVAL) scale --rebuild --json > .scale.json && mv .scale.json eval/results/scale.json
	COHO_SEARCH_EXACT_ROWS=10000 $(EVAL) scale 100000 --index ivf-pq ivf-hnsw-sq ivf-rq --rebuild --json > .index-kinds.json \
		&& mv .index-kinds.json eval/results/index-kinds.json

kills: models ## kill -9 the service at 200 random moments; nothing may be lost (about ten minutes)
	COHO_KILLS=200 cargo test --locked --test it -- --nocapture crash::killed

converge: models ## 200 random sequences of file operations; each must end like a clean sync
	COHO_ROUNDS=200 cargo test --locked --test it -- --nocapture converge

files: models ## read the difficult files of COHO_EVAL_DATA and keep the outcome of each
	@python3 tests/files.py $(COHO)

fuzz: ## fuzz each parser that runs in the service, ten minutes each (FUZZ_S=600; needs nightly)
	@tests/fuzz/run

release: setup ## build what is shipped: target/release/coho, over an hour from nothing
	cargo build --locked --release
	@echo "built $(CARGO_TARGET_DIR)/release/coho"

install: release ## install the release build into ~/.local/bin
	mkdir -p $(HOME)/.local/bin && install -m755 $(CARGO_TARGET_DIR)/release/coho $(HOME)/.local/bin/coho

clean-demo: ## remove what `make demo` left in .demo
	rm -rf .demo
