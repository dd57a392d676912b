# SPDX-License-Identifier: MIT
#
# The crash tests: kill -9 after every instruction of every operation; and a process stopped at every
# test point while another is killed at every test point.
#
#   make crash            all of it, two tables: many minutes
#   make crash-short      fewer points of most operations, part of make check
#   CRASH_ARGS=           say --only="queue put"; $(O)/selftests/crash/crash --help
#   POINTS_ARGS=          say --only="put x get"; $(O)/selftests/crash/points --help

.PHONY: crash crash-short

CRASH_PROG := $(O)/selftests/crash/crash
CRASH_OBJS := $(call objs,$(patsubst %,selftests/crash/%.c,victim engine pairs audit rows main) \
	selftests/crash/ops-*.c)

# Bound at the start: the first call of a function is no longer than the next.
$(CRASH_PROG): $(CRASH_OBJS) $(STATIC) $(O)/.objects
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -Wl,-z,now -o $@ $(CRASH_OBJS) $(STATIC) $(URING_LIBS)

# The library once more, in $(O)/points, with its test points compiled in (lib/core/point.h).
POINTS_PROG := $(O)/selftests/crash/points
POINTS_OBJS := $(patsubst %.c,$(O)/points/%.o,$(wildcard $(LIBDIRS:%=lib/%/*.c) \
	selftests/crash/points*.c) selftests/crash/rows.c selftests/crash/audit.c)

$(O)/points/%.o: %.c $(O)/.flags | deps-there
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CPPFLAGS) -DKIPC_TEST_POINTS $(KIPC_CFLAGS) -MMD -MP -c $< -o $@

$(POINTS_PROG): $(POINTS_OBJS) $(O)/.objects
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -o $@ $(POINTS_OBJS) $(URING_LIBS)

crash: $(CRASH_PROG) $(POINTS_PROG)
	$(Q)$(CRASH_PROG) $(CRASH_ARGS)
	$(Q)$(POINTS_PROG) $(POINTS_ARGS)

crash-short: $(CRASH_PROG) $(POINTS_PROG)
	$(Q)$(CRASH_PROG) --short $(CRASH_ARGS)
	$(Q)$(POINTS_PROG) --short $(POINTS_ARGS)

# selftests/killpoints runs them, but not in these.
ifeq ($(PARTIAL)$(SAN),)
ifneq ($(filter killpoints,$(TESTDIRS)),)
check: $(CRASH_PROG) $(POINTS_PROG)
endif
endif

-include $(CRASH_OBJS:.o=.d) $(POINTS_OBJS:.o=.d)
