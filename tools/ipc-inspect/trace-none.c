// SPDX-License-Identifier: MIT
/* Stands for trace-bpf.c in a build on a machine that had no libbpf, clang or bpftool. */
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/trace.h"

int trace_in_kernel(struct trace_request *r)
{
	(void)r;
	warnx("trace was left out of this build: it wants libbpf, clang and bpftool "
	      "(build/deps.sh install trace)");
	return EXIT_UNSUPPORTED;
}

bool trace_works(void)
{
	return false;
}
