# SPDX-License-Identifier: MIT
#
# ipc-inspect trace: a program for the kernel, made by clang and bpftool into a header that has it as
# bytes. Where they or libbpf are missing, or with TRACE=0, trace-none.c says so when it is called.
#
#   BPF_CLANG=clang       what compiles for the kernel, whatever CC is

TRACE ?= 1
BPF_CLANG ?= clang
have_trace = $(call once,have_trace,$(if $(filter-out 0,$(TRACE)),$(shell \
	build/deps.sh verify trace 2>/dev/null && echo 1)))
bpftool = $(call once,bpftool,$(shell PATH="$$PATH:/usr/sbin:/sbin" command -v bpftool))

TRACE_DIR := tools/ipc-inspect
TRACE_OBJS := $(O)/obj/$(TRACE_DIR)/trace-kernel.o $(O)/obj/$(TRACE_DIR)/trace-elf.o
TRACE_SKEL := $(O)/gen/trace.skel.h

# linux/types.h wants asm/types.h, which Debian has in a folder of the machine's.
BPF_CFLAGS = -target bpf -mcpu=v3 -O2 -g -ffreestanding -Wall -Wextra -Wno-unused-parameter \
	-D__TARGET_ARCH_$(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m))) \
	-I. -idirafter /usr/include/$(shell $(BPF_CLANG) -print-multiarch)

$(TRACE_SKEL): $(TRACE_DIR)/trace.bpf.c $(TRACE_DIR)/trace-event.h $(O)/.without
	$(call say,BPF)
	@mkdir -p $(@D)
	$(Q)$(if $(have_trace),$(BPF_CLANG) $(BPF_CFLAGS) -c $< -o $(O)/gen/trace.tmp.o && \
		$(bpftool) gen object $(O)/gen/trace.bpf.o $(O)/gen/trace.tmp.o && \
		$(bpftool) gen skeleton $(O)/gen/trace.bpf.o name trace_bpf >$@,: >$@)

# The one that is compiled is chosen when it is, since packages may have been installed meanwhile.
trace_kernel = $(if $(have_trace),$(TRACE_DIR)/trace-bpf.c,$(TRACE_DIR)/trace-none.c)
trace_elf = $(if $(have_trace),$(TRACE_DIR)/trace-usdt.c,-x c /dev/null)
$(TRACE_OBJS): $(O)/obj/$(TRACE_DIR)/trace-%.o: $(TRACE_SKEL) $(O)/.flags \
		$(addprefix $(TRACE_DIR)/,trace-bpf.c trace-none.c trace-usdt.c)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KIPC_CPPFLAGS) -I$(O)/gen $(KIPC_CFLAGS) -MMD -MP -c $(trace_$*) -o $@

-include $(TRACE_OBJS:.o=.d)
