PYTHON3 ?= python3
PYTHON := .venv/bin/python
QUICK_TESTS := tests/unit tests/components tests/program
# The main job from the first `up` to the last `destroy`, and what goes wrong on the way.
MAIN_JOB := tests/lab/test_life.py tests/lab/test_errors.py
# Two files at a time, each by itself in order: tests of one life build on each other.
PYTEST := $(PYTHON) -m pytest -n 2 --dist loadfile
GO_MODULES := lab/node lab/plugins lab/kubernetes-plugin
# The flags of the installation, so that checks find its compiled packages.
GO := GOFLAGS="-mod=readonly -trimpath -buildvcs=false" CGO_ENABLED=0 GOWORK=off go

.DEFAULT_GOAL := help
.PHONY: help install venv up down env recover status check smoke lint test test-lab test-go bench

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: ## The virtualenv in .venv and the lab's tools in .lab (the first run builds them)
	@$(PYTHON3) -m lab install

up: install ## Start the lab and create a cluster in it with Pulumi
	@$(PYTHON) -m lab up

env: venv ## Print the shell exports for the lab: eval "$(make -s env)"
	@$(PYTHON) -m lab env

status: venv ## Show the lab's daemons, servers and nodes
	@$(PYTHON) -m lab status

recover: venv ## Finish what a killed pulumi left behind
	@$(PYTHON) -m lab recover

down: venv ## Destroy the cluster and end the lab
	@$(PYTHON) -m lab down

check: venv lint ## Format, lint, types and all tests that need no lab
	@$(PYTEST) $(QUICK_TESTS)

smoke: install lint ## The checks and the life of one cluster in the lab; minutes
	@$(PYTEST) $(MAIN_JOB) $(QUICK_TESTS)

test: install lint ## Everything, with whole clusters in the lab
	@$(PYTEST) tests --durations=15

test-lab: install ## Only the tests that run clusters in the lab
	@$(PYTEST) tests/lab --durations=15

test-go: install ## Vet and test the lab's Go modules
	@for module in $(GO_MODULES); do (cd $$module && $(GO) vet ./... && $(GO) test ./...) || exit; done

bench: install ## Ratios of whole runs; slow, and for a quiet machine
	@$(PYTHON) -m bench

venv:
	@$(PYTHON3) -m lab install virtualenv

lint: venv
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy --strict oxide_components __main__.py
	@$(PYTHON) -m mypy lab
	@if command -v gofmt >/dev/null; then \
	  unformatted=$$(gofmt -l $(GO_MODULES)); \
	  test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted" >&2; exit 1; }; \
	fi
