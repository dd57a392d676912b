# SPDX-License-Identifier: MIT
#
# make linearize: the rounds of selftests/linearize, for longer than make check has them.
#
#   LINEARIZE_SECONDS=30  each of the twelve tests
#   SEED=n                begin there; every test that fails prints one

LINEARIZE_SECONDS ?= 30

.PHONY: linearize

# The harness's limit of 30 s a test is stretched with it.
linearize: $(patsubst %,$(O)/selftests/linearize/%,queue dict lock)
	$(Q)failed=0; for program in $^; do \
		LINEARIZE_SECONDS=$(LINEARIZE_SECONDS) KSFT_SCALE=$$((5 + $(LINEARIZE_SECONDS) / 20)) \
			$$program -v || failed=1; \
	done; exit $$failed
