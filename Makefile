# SPDX-License-Identifier: MIT
#
# libkipc: make, make check, make demo; make help lists the rest. Nothing is written outside of $(O).
#
#   O=dir                 where to build (default: out)
#   CC=gcc|clang          the compiler
#   SAN=LIST              address,undefined or thread
#   WERROR=1 V=1          warnings are errors; print the commands
#   SDT=0 TRACE=0         without probes (USDT) in the library, without ipc-inspect trace; as where
#                         what they need is missing
#   VALGRIND=1            check: run the tests under valgrind
#   PREFIX= LIBDIR= ...   where to install, also BINDIR= INCLUDEDIR= MANDIR=
#                         LIBEXECDIR= UNITDIR= DESTDIR=
#   LIBDIRS= TESTDIRS=    build and test a part, also TOOLS= EXAMPLES=;
#                         e.g. make check LIBDIRS=core TESTDIRS=core O=/tmp/core

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all
SHELL := /bin/sh

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := ar
endif
O ?= out
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
LIBEXECDIR ?= $(PREFIX)/libexec
UNITDIR ?= $(PREFIX)/lib/systemd/system

Q := $(if $(filter-out 0,$(V)),,@)
# make -s and V=1 say nothing of their own
silent := $(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
say = @$(if $(silent)$(filter-out 0,$(V)),:,printf '  %-8s%s\n' $(1) $(patsubst $(O)/%,%,$@))

# ---- version: the headers and the newest node of the map must agree ----

version_part = $(shell sed -n 's/^.define KIPC_VERSION_$(1)[ \t]*//p' lib/include/kipc/version.h)
MAJOR := $(call version_part,MAJOR)
MINOR := $(call version_part,MINOR)
VERSION := $(MAJOR).$(MINOR).$(call version_part,PATCH)
NODE := $(shell sed -n 's/^KIPC_\([0-9.]*\) {.*/\1/p' lib/libkipc.map | tail -n 1)
ifneq ($(NODE),$(MAJOR).$(MINOR))
$(error lib/libkipc.map ends with KIPC_$(NODE), lib/include/kipc/version.h says $(VERSION))
endif

# ---- what there is ----

PARTIAL := $(if $(filter undefined,$(origin LIBDIRS)),,1)
LIBDIRS ?= core queue pipe shm manager names waitset
TOOLS ?= $(if $(PARTIAL),,$(filter-out common,$(notdir $(patsubst %/,%,$(wildcard tools/*/)))))
EXAMPLES ?= $(if $(PARTIAL),,$(basename $(notdir $(wildcard Documentation/examples/*.c))))
TESTDIRS ?= $(filter-out harness crash fuzz soak,$(notdir $(patsubst %/,%,$(wildcard selftests/*/))))

objs = $(patsubst %.c,$(O)/obj/%.o,$(wildcard $(1)))
LIB_OBJS := $(call objs,$(LIBDIRS:%=lib/%/*.c))
HARNESS_OBJS := $(call objs,selftests/harness/*.c)
TEST_SRCS := $(wildcard $(TESTDIRS:%=selftests/%/*.c))
TEST_OBJS := $(TEST_SRCS:%.c=$(O)/obj/%.o)
TEST_PROGS := $(TEST_SRCS:%.c=$(O)/%)
TEST_SCRIPTS := $(wildcard $(TESTDIRS:%=selftests/%/*.sh))
TOOL_PROGS := $(TOOLS:%=$(O)/%)
# trace-*.c, of which the build chooses: build/trace.mk
tool_objs = $(filter-out $(addprefix %/trace,.bpf.o -bpf.o -none.o -usdt.o),$(call objs, \
	tools/$(1)/*.c tools/common/*.c)) $(if $(filter ipc-inspect,$(1)),$(TRACE_OBJS))
EXAMPLE_PROGS := $(EXAMPLES:%=$(O)/examples/%)

SONAME := libkipc.so.$(MAJOR)
SHARED := $(O)/libkipc.so.$(VERSION)
LINKS := $(O)/$(SONAME) $(O)/libkipc.so
STATIC := $(O)/libkipc.a

include build/flags.mk build/install.mk build/trace.mk

# ---- the goals ----

.PHONY: all lib tools examples tests check demo deps clean help FORCE deps-there
.PHONY: headers-check symbols-check models

all: lib tools examples
lib: $(SHARED) $(LINKS) $(STATIC) $(O)/libkipc.pc
tools: $(TOOL_PROGS)
examples: $(EXAMPLE_PROGS)
tests: $(TEST_PROGS)

# What the tests are told. They may run make themselves: not with our jobs and variables.
TEST_ENV = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u O KIPC_BUILD="$(abspath $(O))" \
	SRCDIR="$(CURDIR)" KIPC_CC="$(CC)" KIPC_SAN="$(SAN)" KIPC_PARTIAL="$(PARTIAL)" \
	KIPC_VALGRIND="$(filter-out 0,$(VALGRIND))"

# With a part of the library (LIBDIRS=) the shared one may not link; the tests use the archive.
check: $(if $(PARTIAL),tools examples,all) tests
	$(Q)$(TEST_ENV) selftests/run_kselftest.sh $(if $(filter-out 0,$(V)),-v) \
		$(TEST_PROGS) $(TEST_SCRIPTS)

demo: lib tools examples
	$(Q)KIPC_BUILD="$(abspath $(O))" Documentation/examples/demo.sh $(DEMO_ARGS)

headers-check: | deps-there
	$(Q)$(TEST_ENV) selftests/build/headers.sh
symbols-check: $(SHARED)
	$(Q)$(TEST_ENV) selftests/build/symbols.sh

# Minutes, not seconds: not part of check.
models:
	$(Q)command -v spin >/dev/null || build/deps.sh install models
	$(Q)CC="$(CC)" Documentation/models/run.sh $(MODELS)

deps:
	$(Q)build/deps.sh install test

clean:
	$(Q)rm -rf $(O)

help:
	@echo 'all lib tools examples tests       build'
	@echo 'check demo                         build and run; install what is missing'
	@echo 'headers-check symbols-check        parts of check'
	@echo 'models                             check the protocols with spin (MODELS="lock queue")'
	@echo 'crash fuzz linearize soak          longer runs of what check has a short one of'
	@echo 'install uninstall install-headers install-man'
	@echo 'deps clean'
	@sed -n 's/^#   //p' Makefile

# Before anything is compiled. check and demo install what is missing, the others name it.
DEPS_VERB := $(if $(filter check demo,$(MAKECMDGOALS)),install,verify)
DEPS_SCOPE := $(if $(filter check headers-check,$(MAKECMDGOALS)),test,build)
deps-there:
	@build/deps.sh $(DEPS_VERB) $(DEPS_SCOPE)

# ---- compile ----

$(O)/obj/%.o: %.c $(O)/.flags | deps-there
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CPPFLAGS) $(KIPC_CFLAGS) -MMD -MP -c $< -o $@

# A file that changes only when its content does: what depends on it is built again then.
define update
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(1))' >$@
endef

# Not before the packages are there that it depends on.
$(O)/.flags: FORCE | deps-there $(O)/.without
	$(call update,$(CC) $(KIPC_CPPFLAGS_KEY) $(KIPC_CFLAGS) $(KIPC_LDFLAGS))
# What is left out, said when it changes.
without = $(strip $(if $(have_sdt),,"probes") $(if $(have_trace),,"ipc-inspect trace"))
$(O)/.without: FORCE | deps-there
	@mkdir -p $(@D)
	@echo '$(without)' | cmp -s - $@ || { echo '$(without)' >$@; [ -z '$(without)' ] || \
		echo 'libkipc: left out: $(without) (SDT=0, TRACE=0, or see: build/deps.sh verify trace)'; }

$(O)/.libexec: FORCE
	$(call update,$(LIBEXECDIR))
$(O)/obj/lib/names/start.o: $(O)/.libexec

$(O)/.objects: FORCE
	$(call update,$(LIB_OBJS) $(HARNESS_OBJS) $(foreach t,$(TOOLS),$(call tool_objs,$(t))))

# ---- link ----

$(SHARED): $(LIB_OBJS) lib/libkipc.map $(O)/.flags $(O)/.objects
	$(call say,LD)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -shared -Wl,-soname,$(SONAME) \
		$(if $(SAN)$(PARTIAL),,-Wl,-z,defs) -Wl,--version-script,lib/libkipc.map -o $@ $(LIB_OBJS) $(URING_LIBS)

$(LINKS): $(SHARED)
	$(Q)ln -sf $(<F) $@

$(STATIC): $(LIB_OBJS) $(O)/.objects
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJS)

$(O)/libkipc.pc: FORCE
	@mkdir -p $(@D)
	@$(sed_pc) | cmp -s - $@ || $(sed_pc) >$@

# Tests are linked with the archive, to reach hidden functions; tools and examples see what users see.
$(TEST_PROGS): $(O)/%: $(O)/obj/%.o $(HARNESS_OBJS) $(STATIC) $(O)/.objects
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -o $@ $< $(HARNESS_OBJS) $(STATIC) $(URING_LIBS) -lm

RPATH = -Wl,-rpath,'$(1)' -L$(O) -lkipc

$(EXAMPLE_PROGS): $(O)/examples/%: $(O)/obj/Documentation/examples/%.o $(SHARED) $(LINKS)
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CFLAGS) $(KIPC_LDFLAGS) -o $@ $< $(call RPATH,$$ORIGIN/..)

define tool_rule
$(O)/$(1): $(call tool_objs,$(1)) $(SHARED) $(LINKS) $(O)/.objects
	$$(call say,LD)
	$$(Q)$$(CC) $$(KIPC_CFLAGS) $$(KIPC_LDFLAGS) -o $$@ $(call tool_objs,$(1)) \
		$$(call RPATH,$$$$ORIGIN:$$$$ORIGIN/../lib) $$(TOOL_LIBS_$(1)) -lm
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

include build/fuzz.mk
include build/crash.mk
include build/linearize.mk
include build/soak.mk

.SECONDARY:
-include $(patsubst %.o,%.d,$(LIB_OBJS) $(HARNESS_OBJS) $(TEST_OBJS))
-include $(patsubst %.o,%.d,$(call objs,tools/*/*.c Documentation/examples/*.c))
