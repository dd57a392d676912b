# SPDX-License-Identifier: MIT
#
# make fuzz: hostile and damaged segments (selftests/fuzz/fuzz.h), FUZZ_SECONDS each target.
#
#   FUZZ_CC=clang|gcc     clang: libFuzzer with coverage; gcc: the seeds only
#   FUZZ="queue pipe"     some targets
#   FUZZ_SECONDS=60       for each
#
# Everything is in $(O)/fuzz: programs, seeds, the corpus that grows from run to run, and
# findings/ (crash-*, timeout-*, oom-*).  $(O)/fuzz/queue FILE runs one input again.

, := ,
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
FUZZ_SHARED := ambush common main objects use world
FUZZ ?= $(filter-out $(FUZZ_SHARED),$(basename $(notdir $(wildcard selftests/fuzz/*.c))))

FO := $(O)/fuzz
FUZZ_CLANG := $(findstring clang,$(FUZZ_CC))
FUZZ_SAN := address,undefined
FUZZ_CFLAGS = -std=gnu11 -O1 -g -Wall -Wextra $(if $(filter-out 0,$(WERROR)),-Werror) -pthread \
	-fvisibility=hidden -fno-omit-frame-pointer -fno-sanitize-recover=all \
	$(if $(FUZZ_CLANG),-fsanitize=fuzzer-no-link$(,)$(FUZZ_SAN),-fsanitize=$(FUZZ_SAN))
FUZZ_LDFLAGS = $(if $(FUZZ_CLANG),-fsanitize=fuzzer$(,)$(FUZZ_SAN),-fsanitize=$(FUZZ_SAN)) -pthread \
	$(addprefix -Wl$(,)--wrap=,clock_gettime syscall ppoll mmap munmap)


FUZZ_LIB := $(patsubst %.c,$(FO)/obj/%.o,$(wildcard $(LIBDIRS:%=lib/%/*.c)))
FUZZ_COMMON := $(patsubst %,$(FO)/obj/selftests/fuzz/%.o,ambush common objects use world \
	$(if $(FUZZ_CLANG),,main))
FUZZ_PROGS := $(FUZZ:%=$(FO)/%)
# What a target needs beyond the library: the broker, but for its main() and its threads.
FUZZ_OBJS_broker := $(patsubst %.c,$(FO)/obj/%.o,tools/common/procfs.c \
	$(filter-out %/main.c %/closer.c,$(wildcard tools/kipcd/*.c)))

.PHONY: fuzz fuzz-build fuzz-list

# For ambush.c: it is told of each load of the library's, not of ours.
FUZZ_TRACE := $(if $(FUZZ_CLANG),-fsanitize-coverage=trace-loads)
$(FUZZ_LIB): FUZZ_CFLAGS += $(FUZZ_TRACE)

$(FO)/.flags: FORCE
	$(call update,$(FUZZ_CC) $(FUZZ_TRACE) $(KIPC_CPPFLAGS_KEY) $(FUZZ_CFLAGS) $(FUZZ_LDFLAGS) $(FUZZ_LIB))

$(FO)/obj/%.o: %.c $(FO)/.flags | deps-there
	$(call say,FUZZ-CC)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(KIPC_CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(FO)/broker: $(FUZZ_OBJS_broker)
$(FO)/obj/lib/names/start.o: $(O)/.libexec
$(FUZZ_PROGS): $(FO)/%: $(FO)/obj/selftests/fuzz/%.o $(FUZZ_COMMON) $(FUZZ_LIB)
	$(call say,FUZZ-LD)
	$(Q)$(FUZZ_CC) $(FUZZ_LDFLAGS) -o $@ $^ $(URING_LIBS) -lm

fuzz-build: $(FUZZ_PROGS)

fuzz-list:
	@echo $(FUZZ)

# One after another, or as many at once as -j says; -k goes on after a finding.
FUZZ_RUNS := $(FUZZ:%=fuzz-run-%)
.PHONY: $(FUZZ_RUNS)
fuzz: $(FUZZ_RUNS)
$(FUZZ_RUNS): fuzz-run-%: fuzz-build
	$(Q)selftests/fuzz/run.sh "$(FO)" "$(FUZZ_SECONDS)" "$(if $(FUZZ_CLANG),libfuzzer,plain)" $*

-include $(patsubst %.o,%.d,$(FUZZ_LIB) $(FUZZ_COMMON) $(FUZZ_OBJS_broker) $(FUZZ:%=$(FO)/obj/selftests/fuzz/%.o))
