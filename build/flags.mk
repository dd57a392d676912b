# SPDX-License-Identifier: MIT
#
# Compiler and linker flags. CFLAGS, CPPFLAGS and LDFLAGS are the user's: they come last.

CFLAGS ?= -O2 -g

# pkg-config may not be there yet when make reads this: asked at first use, once.
once = $(eval $(1) := $(2))$($(1))
URING_CFLAGS = $(call once,URING_CFLAGS,$(shell pkg-config --cflags liburing))
URING_LIBS = $(call once,URING_LIBS,$(shell pkg-config --libs liburing))
SMARTCOLS_CFLAGS = $(call once,SMARTCOLS_CFLAGS,$(shell pkg-config --cflags smartcols))
SMARTCOLS_LIBS = $(call once,SMARTCOLS_LIBS,$(shell pkg-config --libs smartcols))
NCURSES_LIBS = $(call once,NCURSES_LIBS,$(shell pkg-config --libs ncursesw))

# Optional, see Makefile: what is missing, or 0, is left out. Asked when first needed, too.
SDT ?= 1
have_sdt = $(call once,have_sdt,$(if $(filter-out 0,$(SDT)),$(shell \
	$(CC) $(CPPFLAGS) -E -include sys/sdt.h -x c /dev/null >/dev/null 2>&1 && echo 1)))

# What a tool needs beyond libkipc: TOOL_LIBS_<folder>
TOOL_LIBS_ipc-inspect = $(SMARTCOLS_LIBS) $(NCURSES_LIBS) $(if $(have_trace),-lbpf -lelf)

ifneq ($(SAN),)
SAN_FLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
# gcc warns that ThreadSanitizer does not model fences; clang's does not either, and is quiet.
SAN_FLAGS += $(if $(and $(findstring gcc,$(CC)),$(findstring thread,$(SAN))),-Wno-tsan)
# Its manual says of -fsanitize that it brings false positives of this warning.
SAN_FLAGS += $(if $(findstring gcc,$(CC)),-Wno-maybe-uninitialized)
endif

# Private headers are "core/segment.h", the ABI's "uapi/kipc/segment.h", the public ones <kipc/x.h>.
KIPC_CPPFLAGS_KEY = -D_GNU_SOURCE -Ilib/include -I. -Ilib -Iselftests/harness \
	$(if $(have_sdt),-DKIPC_SDT) $(CPPFLAGS)
KIPC_CPPFLAGS = $(KIPC_CPPFLAGS_KEY) $(URING_CFLAGS) \
	$(if $(filter tools/ipc-inspect/%,$<),$(SMARTCOLS_CFLAGS)) \
	$(if $(filter lib/names/start.c,$<),-DKIPC_KIPCD_PATH='"$(LIBEXECDIR)/kipcd"')
KIPC_CFLAGS = -std=gnu11 -Wall -Wextra $(if $(filter-out 0,$(WERROR)),-Werror) -fvisibility=hidden \
	-fPIC -pthread $(SAN_FLAGS) $(CFLAGS)
KIPC_LDFLAGS = $(LDFLAGS)
