# scopegate's commands; users and CI use the same ones. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(abspath .cache)
OPA_VERSION := v1.22.2
OPA := $(CACHE)/go/opa-$(OPA_VERSION)/bin/opa
SPIRE_VERSION := v1.15.3
SPIRE := $(CACHE)/go/spire-$(SPIRE_VERSION)/bin/spire-server

GENERATED := sidecar/envoy_api/generated
protoc_into = $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(1) --pyi_out=$(1) ext_authz.proto

.PHONY: help parts demo test soak lint bench proto policies docs lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(if $(filter opa,$(ENGINE)),$(OPA)) ## run the gate for real, Envoy included; KEEP=1 leaves it running, ENGINE=opa adds OPA
	@KEEP=$(KEEP) ENGINE=$(ENGINE) SCOPEGATE_OPA=$(if $(filter opa,$(ENGINE)),$(OPA)) $(BIN)/python -m examples.demo

parts: $(OPA) $(SPIRE) # what the tests need and pip has not

test: $(VENV)/.dev $(OPA) $(SPIRE) ## run every test, real Envoy, OPA and SPIRE included
	@SCOPEGATE_OPA=$(OPA) SCOPEGATE_SPIRE_SERVER=$(SPIRE) $(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.dev $(OPA) $(SPIRE) ## run the long tests and write their dated results into docs/
	@SCOPEGATE_OPA=$(OPA) SCOPEGATE_SPIRE_SERVER=$(SPIRE) $(BIN)/python -m tests.soak

lint: $(VENV)/.dev $(OPA) ## formatting, lint, types, import rules, generated files up to date
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(OPA) fmt --fail --list policies opa
	@$(OPA) check --strict --schema policies/schema policies
	@$(OPA) check --strict --bundle opa
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call protoc_into,"$$fresh") \
		&& diff -r --exclude=__init__.py --exclude=__pycache__ "$$fresh" $(GENERATED) \
		|| { echo "generated code is not what proto/ says: run make proto"; exit 1; }

bench: $(VENV)/.dev ## measure what a check costs, directly and through Envoy; PEER=DIR adds the peer's binaries
	@$(BIN)/python -m bench $(PEER)

proto: $(VENV)/.dev ## generate the protobuf classes from proto/
	@$(call protoc_into,$(GENERATED))

policies: $(OPA) ## test, check and format-check the policies with stock OPA
	@$(OPA) fmt --fail --list policies
	@$(OPA) check --strict --schema policies/schema policies
	@$(OPA) test --bundle --verbose policies

docs: $(VENV)/.dev $(OPA) ## print the tables of the manual, and OPA's capabilities, again
	@mkdir -p .cache
	@$(BIN)/python -c 'from sidecar.config.reference import manual; print(manual(), end="")' \
		> .cache/configuration.md && mv .cache/configuration.md docs/configuration.md
	@PYTHONPATH=. $(BIN)/python tests/unit/test_operations_page.py --write
	@PYTHONPATH=. $(BIN)/python tests/unit/test_stance_page.py --write
	@PYTHONPATH=. $(BIN)/python tests/unit/test_tokens_page.py --write
	@PYTHONPATH=. $(BIN)/python tests/unit/test_bad_tokens_page.py --write
	@$(BIN)/python -m tests.wycheproof_table
	@$(BIN)/python -m tests.checks --table
	@SCOPEGATE_OPA=$(OPA) $(BIN)/python -m tests.policies.test_opa_folder --write

lock: $(VENV)/.dev ## resolve the dependencies again, with hashes
	@for extra in "run --all-extras" "demo --all-extras --group demo -c requirements/run.lock" \
			"dev --all-extras --group dev -c requirements/demo.lock"; do \
		set -- $$extra; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
			--no-header --no-annotate pyproject.toml "$$@" -o requirements/$$name.lock || exit 1; \
	done

clean: ## remove what these commands made
	@rm -rf $(VENV) $(CACHE) .run .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Installed from the locks, hashes checked, and again only when a lock changed. A development
# environment that is up to date is also one for the demo: every lock contains the one before it.
$(VENV)/.demo: requirements/demo.lock pyproject.toml
	@if [ $(VENV)/.dev -nt requirements/dev.lock ] && [ $(VENV)/.dev -nt pyproject.toml ]; \
		then touch $@; \
		else $(MAKE) --no-print-directory install WHAT=demo STAMP=$@; fi

$(VENV)/.dev: requirements/dev.lock pyproject.toml
	@$(MAKE) --no-print-directory install WHAT=dev STAMP=$@

.PHONY: install
install:
	@echo "installing requirements/$(WHAT).lock into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/$(WHAT).lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Built once per version; Go checks the module against its checksum database.
$(OPA):
	@echo "building OPA $(OPA_VERSION) (about a minute, once)"
	@GOBIN=$(dir $@) go install github.com/open-policy-agent/opa@$(OPA_VERSION)

# Built once per version, without SPIRE's cloud plugins; see tests/spire_build.py.
$(SPIRE):
	@echo "building SPIRE $(SPIRE_VERSION) (two to five minutes, once)"
	@$(PYTHON) -m tests.spire_build $(SPIRE_VERSION) $@
