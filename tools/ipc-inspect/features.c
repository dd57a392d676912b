// SPDX-License-Identifier: MIT
/*
 * ipc-inspect features: what this kernel, this sandbox and this build have of what libkipc and the
 * tool itself can use.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kipc/base.h>
#include <kipc/version.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"
#include "tools/ipc-inspect/trace.h"
#include "uapi/kipc/segment.h"

struct feature {
	const char *name;
	const char *of;		/* "library", "tool" */
	bool required;
	int kipc;		/* enum kipc_feature, or -1: */
	bool (*probe)(void);
	const char *help;
};

/* ---- what the tool needs of /proc ---- */

static bool readable(const char *path)
{
	char c;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read(fd, &c, 1) == 1;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool probe_syscall(void)
{
	return readable("/proc/self/syscall");
}

/* Where the mappings of others can be opened: it takes a capability, and init's namespace. */
static bool probe_map_files(void)
{
	char line[256], path[128];
	unsigned long start, end;
	bool ok = false;
	FILE *f = fopen("/proc/self/maps", "re");
	int fd;

	if (f && fgets(line, sizeof(line), f) && sscanf(line, "%lx-%lx", &start, &end) == 2) {
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
		fd = open(path, O_PATH | O_CLOEXEC);
		ok = fd >= 0;
		if (ok)
			close(fd);
	}
	if (f)
		fclose(f);
	return ok;
}

static bool probe_pidfd_getfd(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), fd = -1;

	if (pidfd >= 0) {
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);
		close(pidfd);
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool probe_btf(void)
{
	return readable("/sys/kernel/btf/vmlinux");
}

static const struct feature features[] = {
	{ "ofd-locks", "library", true, KIPC_FEATURE_OFD_LOCKS, NULL,
	  "locks of open file descriptions: who is alive" },
	{ "proc-fd", "library", true, KIPC_FEATURE_PROC_FD, NULL, "/proc/self/fd can be opened" },
	{ "io-uring", "library", false, KIPC_FEATURE_IO_URING, NULL,
	  "waits sleep in io_uring, else in ppoll" },
	{ "memfd-noexec", "library", false, KIPC_FEATURE_MEMFD_NOEXEC, NULL,
	  "segments are sealed against execution" },
	{ "hugetlb-2m", "library", false, KIPC_FEATURE_HUGETLB_2M, NULL,
	  "a page of 2 MiB can be had now" },
	{ "hugetlb-1g", "library", false, KIPC_FEATURE_HUGETLB_1G, NULL,
	  "a page of 1 GiB can be had now" },
	{ "madv-collapse", "library", false, KIPC_FEATURE_MADV_COLLAPSE, NULL,
	  "transparent huge pages on demand" },
	{ "proc-syscall", "tool", false, -1, probe_syscall,
	  "/proc/PID/syscall: who waits for a lock" },
	{ "map-files", "tool", false, -1, probe_map_files,
	  "/proc/PID/map_files: objects that are only mapped" },
	{ "pidfd-getfd", "tool", false, -1, probe_pidfd_getfd,
	  "descriptors of others: replay, and gc --force" },
	{ "trace", "tool", false, -1, trace_works,
	  "trace: probes, bpf(2) and uprobes, and a build with it" },
	{ "btf", "tool", false, -1, probe_btf,
	  "types of the running kernel: trace sees waits for a CPU" },
};
#define NFEATURES (sizeof(features) / sizeof(features[0]))

struct row {
	const struct feature *f;
	bool found;
};

static char *print_name(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	(void)f;
	return xstrdup(((const struct row *)row)->f->name);
}

static char *print_of(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	(void)f;
	return xstrdup(((const struct row *)row)->f->of);
}

static char *print_required(const void *row, const struct column *c, const struct format *f)
{
	bool required = ((const struct row *)row)->f->required;

	(void)c;
	if (f->json)
		return xstrdup(required ? "1" : "0");
	return xstrdup(required ? "yes" : "no");
}

static char *print_help(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	(void)f;
	return xstrdup(((const struct row *)row)->f->help);
}

#define SHOWN	COLUMN_DEFAULT
static const struct column columns[] = {
	{ "FEATURE", "feature", COLUMN_STRING, SHOWN, print_name, 0, "what it is called" },
	{ "FOUND", "found", COLUMN_BOOL, SHOWN, column_bool, offsetof(struct row, found),
	  "whether it can be used here and now" },
	{ "REQUIRED", "required", COLUMN_BOOL, SHOWN, print_required, 0,
	  "nothing works without it" },
	{ "OF", "of", COLUMN_STRING, SHOWN, print_of, 0, "who uses it: library or tool" },
	{ "MEANING", "meaning", COLUMN_STRING, SHOWN, print_help, 0, "what it is for" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

/* Every feature of the library has its row. */
_Static_assert(KIPC_FEATURE_MAX == 7, "a row for the new feature");

static int show_features(const struct command *cmd, struct invocation *inv)
{
	unsigned int v = kipc_version();
	struct selection sel;
	struct table *t;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	if (inv->targets.n) {
		warnx("features are not an object's");
		return usage();
	}
	if (!inv->format.json && !inv->format.raw && !inv->format.noheadings) {
		printf("libkipc %u.%u.%u, ABI %u.%u\n\n", v >> 16, v >> 8 & 0xff, v & 0xff,
		       KIPC_ABI_MAJOR, KIPC_ABI_MINOR);
		fflush(stdout);
	}
	t = table_new("features", columns, NCOLUMNS, &sel, &inv->format);
	for (size_t i = 0; i < NFEATURES; i++) {
		const struct feature *f = &features[i];
		struct row row = { .f = f };

		row.found = f->probe ? f->probe() :
				       kipc_feature_supported((enum kipc_feature)f->kipc) == 1;
		table_add(t, &row);
		if (f->required && !row.found)
			code = EXIT_UNSUPPORTED;
	}
	table_print(t);
	table_free(t);
	return code;
}

const struct command command_features = {
	.name = "features",
	.args = "",
	.help = "what the kernel and this build have of what libkipc can use",
	.options = "JoHnr",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.run = show_features,
};
