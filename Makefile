# One environment, .venv, for running and for testing. It holds exactly the versions of requirements-dev.lock, checked by hash.
# Nothing is installed outside this directory, except a missing system package, which is named first.
#   PYTHON=python3.12 make setup    chooses the interpreter

.DEFAULT_GOAL := help
.PHONY: help run test draws page soak hours day endurance silence accounts pairs strategies swarm stories kills doubts drift projections skims sleeves plans limits mutants bench optimize pages alerts systemd container install release licences audit fuzz docs cluster stops faults idle check setup lock clean
.ONESHELL:
.SHELLFLAGS := -euc
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each of the hundreds of processes of a test run compiles the whole program again, for a third of its start.
unexport PYTHONDONTWRITEBYTECODE

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

# An environment knows its own path and interpreter, so it is made anew when they change; it is refreshed when the versions change.
checksum = $(shell { $(1); } 2>/dev/null | cksum | cut -d ' ' -f 1)
MADE := .venv/made-$(call checksum,pwd; $(PYTHON) -V)
READY := .venv/ready-$(call checksum,cat requirements-dev.lock pyproject.toml)

help: ## List what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 16

# On a terminal Ctrl-C goes to the whole foreground group, and make would call an end in order an error. Under job control the demo is
# the foreground group by itself; Ctrl-Z is ignored, because a stopped demo would leave a make behind that cannot continue it.
run: setup ## Run the demo: an exchange on this machine and the daemon trading on it, offline; Ctrl-C stops it
	@[ -t 0 ] || exec .venv/bin/rebalanced demo
	trap '' TSTP
	set -m
	.venv/bin/rebalanced demo

test: check ## Check format, lint and types, then run the tests
	@.venv/bin/pytest -q -n 2 --dist worksteal

draws: setup ## Judge the properties by cases that are drawn anew, TIMES=5 times over (ten minutes); SEED=N begins with the draws of a run
	@first=$(or $(SEED),$$(date +%s))
	for seed in $$(seq $$first $$((first + $(or $(TIMES),5) - 1))); do
		echo "SEED=$$seed"
		REBALANCED_DRAWS=1 .venv/bin/pytest -q -n 2 --dist worksteal --timeout 0 -m hypothesis --hypothesis-seed $$seed
	done

soak: setup ## Trade MINUTES=15 in mode sandbox and again in mode live, and judge it; REBALANCED_DATA=DIR replays market data
	@exec .venv/bin/python -m tests.soak --minutes $(or $(MINUTES),15)

hours: setup ## Trade HOURS=1 among faults at a low rate (those of SEED=1, or FAULTS=FILE), the dashboard open in Chromium, and judge it
	@exec .venv/bin/python -m tests.soak.hours --hours $(or $(HOURS),1) --seed $(or $(SEED),1) $(FAULTS:%=--faults %)

day: setup ## Live HOURS=24 of virtual time with a fault every ten minutes, crashes and restarts included (five minutes); SEED=1 draws them
	@exec .venv/bin/python -m tests.sim.day --hours $(or $(HOURS),24) --seed $(or $(SEED),1)

endurance: setup ## Have a daemon hear MESSAGES=2000000 stream messages over 50 connections, and see what it holds in the end (half an hour)
	@exec .venv/bin/python -m tests.soak.endurance --messages $(or $(MESSAGES),2000000)

idle: setup ## Say what a daemon costs at rest, and how promptly its loop and its journal answer at rest and under a flood (five minutes)
	@exec .venv/bin/python -m tests.soak.idle

silence: setup ## Mute the streams ROUNDS=6 times with the daemon's own figures, and time when it stops trading and is back (four minutes)
	@exec .venv/bin/python -m tests.soak.silence --rounds $(or $(ROUNDS),6)

accounts: setup ## Trade on two exchanges while one lies, refuses the key, bans and dies for MINUTES=10, and see that the other misses nothing
	@exec .venv/bin/python -m tests.soak.isolation --minutes $(or $(MINUTES),10)

pairs: setup ## Trade a pair of swaps for MINUTES=15 through KILLS=6 SIGKILLs, and judge legs, wallet and funding; REBALANCED_DATA=DIR replays market data
	@exec .venv/bin/python -m tests.soak.pairs --minutes $(or $(MINUTES),15) --kills $(or $(KILLS),6) --seed $(or $(SEED),$$(date +%s))

strategies: setup ## Run each strategy alone for MINUTES=10 with kills, and compare its decisions with its backtest; SEED=N repeats the kills
	@exec .venv/bin/python -m tests.soak.strategies --minutes $(or $(MINUTES),10) --seed $(or $(SEED),$$(date +%s))

kills: setup ## Kill the daemon KILLS=60 times, at named points (those with POINT in their names) and anywhere in waves (ten minutes); SEED=N repeats
	@REBALANCED_KILLS=$(or $(KILLS),60) REBALANCED_POINT="$(POINT)" REBALANCED_SEED=$(or $(SEED),$$(date +%s)) exec .venv/bin/pytest -q --timeout 0 -s tests/process/test_kills.py

faults: setup ## Run the tests of docs/faults.md TIMES=3 times, and say of each fault what came of it (half an hour)
	@exec .venv/bin/python -m tests.faultlist --times $(or $(TIMES),3)

stops: setup ## Stop the daemon STOPS=40 times anywhere in a wave, of each style of execution, and judge what is left (ten minutes); SEED=N repeats
	@REBALANCED_STOPS=$(or $(STOPS),40) REBALANCED_SEED=$(or $(SEED),$$(date +%s)) exec .venv/bin/pytest -q --timeout 0 -s tests/process/test_stops.py -k anywhere

swarm: setup ## Tell SEEDS=1000 stories of spot and of swaps (MARKET=swap: of these alone) among faults and crashes, from SEED=1 on, JOBS=1 at once
	@exec .venv/bin/python -m tests.sim.swarm --seeds $(or $(SEEDS),1000) --seed $(or $(SEED),1) --market $(or $(MARKET),drawn) --jobs $(or $(JOBS),1)

page: setup ## Open the dashboard in Chromium, and have it hear EVENTS=100000 events at full speed (two minutes)
	@EVENTS=$(or $(EVENTS),100000) exec .venv/bin/pytest -q --timeout 0 tests/process/test_page.py

doubts: setup ## Send ORDERS=500 orders through ccxt whose every answer is lost or garbled, and count them (two minutes)
	@REBALANCED_ORDERS=$(or $(ORDERS),500) exec .venv/bin/pytest -q --timeout 0 tests/faults/test_orders.py -k a2_

stories: setup ## Tell STORIES=20000 stories of the core in a toy world, and as many of orders worked on over time, and judge them (an hour)
	@REBALANCED_STORIES=$(or $(STORIES),20000) exec .venv/bin/pytest -q --timeout 0 -n 2 tests/core/test_stories.py tests/core/test_worked_stories.py

drift: setup ## Roll the indicators over ROWS=10000000 rows and compare with exact two-pass sums on the way (a minute)
	@REBALANCED_ROWS=$(or $(ROWS),10000000) exec .venv/bin/pytest -q --timeout 0 tests/core/test_indicators_exact.py

sleeves: setup ## Tell CASES=10000 random stories of three strategies in one account, judged after every event (half an hour)
	@REBALANCED_CASES=$(or $(CASES),10000) REBALANCED_SEED=$(or $(SEED),1) exec .venv/bin/pytest -q --timeout 0 -n 2 --dist worksteal tests/core/test_sleeves.py

skims: setup ## Run SKIMS=300 random backtests twice over, each at once where that is possible and slice by slice, and compare all bytes (half an hour)
	@REBALANCED_SKIMS=$(or $(SKIMS),300) REBALANCED_SEED=$(or $(SEED),0) exec .venv/bin/pytest -q --timeout 0 tests/research/test_skim.py tests/research/test_brisk.py

projections: setup ## Judge CASES=100000 random projections of weights, and as many scaled portfolios (two minutes)
	@REBALANCED_CASES=$(or $(CASES),100000) REBALANCED_SEED=$(or $(SEED),1) exec .venv/bin/pytest -q --timeout 0 tests/core/test_allocation.py

plans: setup ## Judge the plans of CASES=200000 random accounts, rules and targets (some forty minutes); SEED=N takes others
	@REBALANCED_CASES=$(or $(CASES),200000) REBALANCED_SEED=$(or $(SEED),1) exec .venv/bin/pytest -q --timeout 0 tests/core/test_planner.py tests/core/test_planner_swaps.py

mutants: setup ## Break the safety core on purpose, line by line in a copy, and say which breaks no test notices (twenty minutes)
	@exec .venv/bin/python -m tests.mutants

bench: setup ## Measure us and the peers side by side, and write docs/performance.md; fails below a floor. ONLY="peers live" PEERS=backtrader ROUNDS=3 SCALE=1
	@exec env $(if $(ONLY),ONLY="$(ONLY)") $(if $(PEERS),PEERS="$(PEERS)") $(if $(ROUNDS),ROUNDS=$(ROUNDS)) $(if $(SCALE),SCALE=$(SCALE)) .venv/bin/python -m tests.bench

limits: setup ## Judge CASES=20000 random wishes by random limits over random accounts (three minutes)
	@REBALANCED_CASES=$(or $(CASES),20000) REBALANCED_SEED=$(or $(SEED),1) exec .venv/bin/pytest -q --timeout 0 tests/core/test_risk.py tests/core/test_risk_orders.py

optimize: setup ## Add skfolio to .venv for the strategies that ask an optimiser (500 MB), and test these
	@.venv/bin/pip install -q --require-hashes -r requirements-optimize.lock
	exec .venv/bin/pytest -q tests/strategies/test_optimised.py

cluster: setup ## Add dask to .venv for sweeps on a cluster, and test these
	@.venv/bin/pip install -q --require-hashes -r requirements-cluster.lock
	exec .venv/bin/pytest -q tests/research/test_sweep_cluster.py

fuzz: setup ## Try CASES=100000 inputs at random of each kind: configurations, API calls, answers and frames of an exchange (hours); SEED=N takes others
	@REBALANCED_CASES=$(or $(CASES),100000) REBALANCED_SEED=$(or $(SEED),1) exec .venv/bin/pytest -q --timeout 0 tests/fuzz

release: setup ## Build wheel and sdist into dist/, try each where nothing else is installed, and write the bill of materials (three minutes)
	@exec .venv/bin/python -m tests.release

licences: setup ## List the licence of every locked package, and fail where one is not allowed
	@exec .venv/bin/python -m tests.release.lock

audit: setup ## Ask osv.dev for advisories against the locked packages; ends with 1 where there are some, with 3 where nobody could say
	@.venv/bin/python -m tests.release.audit

docs: setup ## Build the site of docs/ into build/site, strictly: no dead link, no page that is nowhere listed
	@[ -e .venv/docs/bin/mkdocs ] || { $(PYTHON) -m venv --clear .venv/docs; .venv/docs/bin/pip install -q --require-hashes -r requirements-docs.lock; }
	exec .venv/docs/bin/mkdocs build --strict --quiet

pages: setup ## Write the parts of docs/ that are made of the source
	@exec .venv/bin/python -m tests.pages

alerts: setup ## Add apprise to .venv for channels beside webhooks, and test these
	@.venv/bin/pip install -q --require-hashes -r requirements-alerts.lock
	exec .venv/bin/pytest -q tests/io/test_alerts_apprise.py

systemd: setup ## Boot a Debian of its own (root, mmdebstrap, systemd-container), install the service there as a user would, and try it
	@REBALANCED_MACHINES=1 exec .venv/bin/pytest -q --timeout 0 tests/machines/test_systemd.py

container: setup ## Build the image on a base of Debian packages (root, mmdebstrap, podman, runc), and run it without a writable root
	@REBALANCED_MACHINES=1 exec .venv/bin/pytest -q --timeout 0 tests/machines/test_container.py

install: ## Put the program with its locked versions into PREFIX=/opt/rebalanced, or upgrade it there; EXTRA="alerts optimize" adds extras
	@$(able)
	tools=$$(mktemp -d)
	trap 'rm -rf "$$tools"' EXIT
	$(PYTHON) -m venv "$$tools/env"
	"$$tools/env/bin/pip" install -q --require-hashes -r requirements-build.lock
	"$$tools/env/bin/pip" wheel -q --no-deps --no-build-isolation -w "$$tools" .
	$(PYTHON) -m venv $(or $(PREFIX),/opt/rebalanced)
	for lock in requirements.lock $(EXTRA:%=requirements-%.lock); do
		$(or $(PREFIX),/opt/rebalanced)/bin/pip install -q --require-hashes -r $$lock
	done
	$(or $(PREFIX),/opt/rebalanced)/bin/pip install -q --no-deps --force-reinstall "$$tools"/*.whl
	echo "$(or $(PREFIX),/opt/rebalanced)/bin/rebalanced is version $$($(or $(PREFIX),/opt/rebalanced)/bin/pip show rebalanced | sed -n 's/^Version: //p')"

check: setup ## Check format, lint and types only
	@.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy

setup: $(READY) ## Make .venv; takes seconds when nothing changed

$(READY): $(MADE)
	@echo "Installing the locked versions into .venv (a minute or so the first time)."
	rm -f .venv/ready-*
	.venv/bin/pip install -q --require-hashes -r requirements-dev.lock
	.venv/bin/pip install -q --no-deps --no-build-isolation -e .
	touch $@

# A shell line or two that end with a sentence where this Python cannot make environments, or mend that where root can.
define able
	stop() { echo "$$1" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
		stop "rebalanced needs Python 3.11 or newer, and '$(or $(PYTHON),python3)' is not: install one, or name it with 'make PYTHON=...'."
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
		package=$(notdir $(PYTHON))-venv
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
			stop "$(PYTHON) cannot make environments: install $$package (Debian, Ubuntu: sudo apt-get install $$package) and try again."
		echo "Installing the system package $$package, without which $(PYTHON) cannot make environments."
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package >/dev/null
	fi
endef

$(MADE):
	@$(able)
	$(PYTHON) -m venv --clear .venv
	touch $@

lock: ## Resolve the exact versions again; UPGRADE=--upgrade takes the newest
	@trap 'rm -rf .venv/lock' EXIT
	$(PYTHON) -m venv --clear .venv/lock
	.venv/lock/bin/pip install -q uv
	compile() { .venv/lock/bin/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --system-certs -q $(UPGRADE) "$$@"; }
	compile pyproject.toml -o requirements.lock
	compile pyproject.toml --group dev -o requirements-dev.lock
	compile pyproject.toml --extra optimize -o requirements-optimize.lock
	compile pyproject.toml --extra alerts -c requirements-dev.lock -o requirements-alerts.lock
	compile pyproject.toml --extra cluster -o requirements-cluster.lock
	compile --group docs -o requirements-docs.lock
	compile --group build -c requirements-dev.lock -o requirements-build.lock

clean: ## Remove the environment and the caches; var/, which holds journals, stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find daemon strategies tests -name __pycache__ -prune -exec rm -rf {} +
