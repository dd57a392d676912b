# SPDX-License-Identifier: MIT
#
# The crash tests: kill -9 after every instruction of every operation.
#
#   make crash            all of it, a table: minutes
#   make crash-short      fewer points of most operations, part of make check
#   CRASH_ARGS=           say --only="queue put"; $(O)/selftests/crash/crash --help

.PHONY: crash crash-short

CRASH_PROG := $(O)/selftests/crash/crash
CRASH_OBJS := $(call objs,$(patsubst %,selftests/crash/%.c,victim engine pairs audit rows main) \
	selftests/crash/ops-*.c)

# Bound at the start: the first call of a function is no longer than the next.
$(CRASH_PROG): $(CRASH_OBJS) $(STATIC) $(O)/.objects
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -Wl,-z,now -o $@ $(CRASH_OBJS) $(STATIC) $(URING_LIBS)

crash: $(CRASH_PROG)
	$(Q)$(CRASH_PROG) $(CRASH_ARGS)

crash-short: $(CRASH_PROG)
	$(Q)$(CRASH_PROG) --short $(CRASH_ARGS)

# selftests/killpoints runs it, but not in these.
ifeq ($(PARTIAL)$(SAN),)
ifneq ($(filter killpoints,$(TESTDIRS)),)
check: $(CRASH_PROG)
endif
endif

-include $(CRASH_OBJS:.o=.d)
