// SPDX-License-Identifier: MIT
/*
 * For compilers without libFuzzer: runs the target once on each file, or on all files of a
 * directory.  `--seeds DIR` is common.c's.  Exit code 0: nothing was found.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX	(1 << 20)
#define SECONDS_MAX	30	/* for one input */

static unsigned int done;

static void run_file(const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t n;
	uint8_t *copy;

	if (!f) {
		perror(path);
		exit(2);
	}
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	/* exactly as long, so that reading beyond it shows */
	copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	for (size_t i = 0; i < n; i++)
		copy[i] = buf[i];
	alarm(SECONDS_MAX);
	LLVMFuzzerTestOneInput(copy, n);
	alarm(0);
	free(copy);
	done++;
}

static void run(const char *path)
{
	struct dirent *e;
	struct stat st;
	char name[4096];
	DIR *dir;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		run_file(name);
	}
	if (dir)
		closedir(dir);
}

int main(int argc, char **argv)
{
	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')	/* libFuzzer's options mean nothing here */
			run(argv[i]);
	printf("%u inputs\n", done);
	return done ? 0 : 2;
}
