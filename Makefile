# Thin: what each name does stands in .ci/run.
.PHONY: test coverage lint types packaging architecture docs site browser api metrics nats sslyze typescript chaos-hours chaos-short ci bench profile fuzz chaos model translation previews slews mutation docs-generated programs deb try-deb

test:
	bash .ci/run tests

coverage lint types packaging architecture docs site browser api metrics nats sslyze typescript:
	bash .ci/run $@

ci:
	bash .ci/run

PYTHON = $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

# Where the ratios of a run stand: benchmarks/results.json, and the tables of docs/explanation/performance.rst.
bench:
	$(PYTHON) -m benchmarks
	$(PYTHON) -m benchmarks.tables

profile:
	$(PYTHON) -m benchmarks.profiling

# So many inputs for each parser, in so many seconds at most: fuzz/results.json, and the table of
# docs/explanation/reliability.rst; needs the extra `fuzz`.
RUNS = 1000000
SECONDS = 1800

fuzz:
	$(PYTHON) -m fuzz --runs $(RUNS) --seconds $(SECONDS) --json fuzz/results.json
	$(PYTHON) -m chaos.tables

# What becomes of every command when things break: chaos/results.json, and the tables of docs/explanation/reliability.rst.
chaos:
	$(PYTHON) -m chaos --json chaos/results.json
	$(PYTHON) -m chaos.tables

# Failures of two bridges at random for so many minutes; before that, a host that dies while a commander has command,
# which takes 15 minutes until the mount's system gives it up.
MINUTES = 480

chaos-hours:
	$(PYTHON) -m chaos --times 1 "a commander has command"
	$(PYTHON) -m chaos --times $(MINUTES) --seed $(SEED) "failures of all kinds"

chaos-short:
	$(PYTHON) -m chaos --short

# The bridge against a model of its rules, so many steps of it at least: chaos/model.json, and its figures there.
STEPS = 20000

model:
	$(PYTHON) -m chaos.model --steps $(STEPS) --json chaos/model.json
	$(PYTHON) -m chaos.tables

# Random commands of tma2020 to the simulators of both generations, so many at least, with other numbers for each seed.
COMMANDS = 100000
SEED = 0

translation:
	$(PYTHON) -m chaos.translation --commands $(COMMANDS) --seed $(SEED)

# Random commands to the simulated tma2022 mount, so many, each compared with its preview: no expected refusal is wrong.
previews:
	MTMOUNT_PREVIEWS=$(COMMANDS) $(PYTHON) -m pytest -q -s tests/dialects/test_tma2022_preview.py -k no_refusal

# The figures of 500 simulated slews against a recomputation from the raw data, and the times to the limits of 10,000
# places in the sky against steps, nightly.
slews:
	MTMOUNT_SLEWS=500 MTMOUNT_TARGETS=10000 $(PYTHON) -m pytest -q tests/motion/test_slews.py tests/motion/test_limits.py

# Which change of a decision no test notices: `make mutation NAMES=arbiter`, or all that mutation/targets.toml names,
# in some 20 minutes; needs the extra `mutation`.
NAMES =

mutation:
	$(PYTHON) -m mutation $(NAMES)

# The reference of the configuration, from the settings: docs/bridge.toml, and the tables of docs/reference/configuration.rst.
docs-generated:
	$(PYTHON) docs/generate.py

# The Debian package for the release of this machine, in dist/deb; and the same for Debian 12 and 13, nightly, in minimal
# systems, with lintian, an installation, an upgrade and a purge: as root, with debootstrap.
deb:
	packaging/build-deb

try-deb:
	packaging/try-deb

# The man pages and shell completions of all programs in share/, from their options.
programs:
	$(PYTHON) docs/generate_programs.py
