# SPDX-License-Identifier: MIT
#
# The soak: many processes use all kinds of objects while one after another is killed.
#
#   make soak SOAK_SECONDS=600    a table at the end
#   SOAK_ARGS=                    say --seed=1; $(O)/selftests/soak/soak --help
#
# A few seconds of it are part of make check: selftests/killpoints/soak.sh.

SOAK_SECONDS ?= 60

.PHONY: soak

SOAK_PROG := $(O)/selftests/soak/soak
SOAK_OBJS := $(call objs,selftests/soak/*.c)

$(SOAK_PROG): $(SOAK_OBJS) $(STATIC) $(O)/.objects
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -o $@ $(SOAK_OBJS) $(STATIC) $(URING_LIBS)

soak: $(SOAK_PROG)
	$(Q)$(SOAK_PROG) --seconds=$(SOAK_SECONDS) $(SOAK_ARGS)

# ThreadSanitizer sees one process only.
ifeq ($(PARTIAL)$(findstring thread,$(SAN)),)
ifneq ($(filter killpoints,$(TESTDIRS)),)
check: $(SOAK_PROG)
endif
endif

-include $(SOAK_OBJS:.o=.d)
