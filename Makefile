# Thin: what each name does stands in .ci/run.
.PHONY: test coverage lint types packaging architecture main-job ci

test:
	bash .ci/run tests

coverage lint types packaging architecture main-job:
	bash .ci/run $@

ci:
	bash .ci/run
