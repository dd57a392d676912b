// SPDX-License-Identifier: MIT
/* Histograms of times, in powers of two, as text and as JSON. */
#include <inttypes.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/trace.h"

#define BAR	40	/* characters of the longest bar */

struct row {
	struct trace_hist_key key;
	struct trace_hist hist;
};

struct trace_hists {
	struct row *row;
	size_t n;
};

static const struct {
	const char *key, *text, *unknown;
} metrics[TRACE_METRICS] = {
	[TRACE_QUEUED] = { "queued", "from put to get",
			   "put before the trace began, or by a process that isn't traced" },
	[TRACE_WAKEUP] = { "wakeup", "from the wake-up until the sleeper runs",
			   "woken by a process that isn't traced, or when another had just been" },
	[TRACE_RUNNABLE] = { "runnable", "of that, waiting for a CPU", "" },
	[TRACE_LOCK_WAITED] = { "lock_waited", "waiting for a lock", "begun before the trace" },
	[TRACE_LOCK_HELD] = { "lock_held", "holding a lock",
			      "taken before the trace began, or by another thread" },
};

struct trace_hists *trace_hists_new(void)
{
	return xcalloc(1, sizeof(struct trace_hists));
}

void trace_hists_free(struct trace_hists *h)
{
	if (h)
		free(h->row);
	free(h);
}

void trace_hists_add(struct trace_hists *h, const struct trace_hist_key *key,
		     const struct trace_hist *hist)
{
	if (key->metric >= TRACE_METRICS)
		return;
	h->row = xreallocarray(h->row, h->n + 1, sizeof(h->row[0]));
	h->row[h->n++] = (struct row){ .key = *key, .hist = *hist };
}

static int by_object(const void *a, const void *b)
{
	const struct trace_hist_key *x = &((const struct row *)a)->key;
	const struct trace_hist_key *y = &((const struct row *)b)->key;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->metric < y->metric ? -1 : x->metric > y->metric;
}

static void sort(struct trace_hists *h)
{
	if (h->n)
		qsort(h->row, h->n, sizeof(h->row[0]), by_object);
}

/* Bucket i is [from, to). */
static uint64_t bucket_from(int i)
{
	return i ? 1ULL << i : 0;
}

static uint64_t bucket_to(int i)
{
	return i < 63 ? 1ULL << (i + 1) : UINT64_MAX;
}

/* Below which so many per cent of all are, at most: the end of a bucket, or the largest. */
static uint64_t percentile(const struct trace_hist *hist, unsigned int percent)
{
	uint64_t total = 0, sum = 0;

	for (int i = 0; i < TRACE_BUCKETS; i++)
		total += hist->bucket[i];
	for (int i = 0; i < TRACE_BUCKETS; i++) {
		sum += hist->bucket[i];
		if (sum * 100 >= total * percent)
			return bucket_to(i) < hist->max_ns ? bucket_to(i) : hist->max_ns;
	}
	return hist->max_ns;
}

static uint64_t mean(const struct trace_hist *hist)
{
	return hist->count ? hist->sum_ns / hist->count : 0;
}

/* The buckets from the first to the last that aren't empty: false when all are. */
static bool span(const struct trace_hist *hist, int *first, int *last)
{
	*first = TRACE_BUCKETS;
	*last = -1;
	for (int i = 0; i < TRACE_BUCKETS; i++) {
		if (!hist->bucket[i])
			continue;
		if (*first > i)
			*first = i;
		*last = i;
	}
	return *last >= 0;
}

/* ---- text ---- */

static void bars(const struct trace_hist *hist)
{
	uint64_t most = 1;
	int first, last;

	if (!span(hist, &first, &last))
		return;
	for (int i = first; i <= last; i++)
		if (hist->bucket[i] > most)
			most = hist->bucket[i];
	for (int i = first; i <= last; i++) {
		_cleanup_free_ char *from = trace_time_text(bucket_from(i));
		_cleanup_free_ char *to = trace_time_text(bucket_to(i));
		int len = (int)((double)hist->bucket[i] * BAR / (double)most);

		printf("%8s ..%7s %10" PRIu64 " |%-*.*s|\n", from, to, hist->bucket[i], BAR, len,
		       "****************************************");
	}
}

static void one_text(const struct row *row, const struct trace_object *o)
{
	const struct trace_hist *hist = &row->hist;
	_cleanup_free_ char *avg = trace_time_text(mean(hist));
	_cleanup_free_ char *max = trace_time_text(hist->max_ns);
	_cleanup_free_ char *p50 = trace_time_text(percentile(hist, 50));
	_cleanup_free_ char *p99 = trace_time_text(percentile(hist, 99));

	printf("%s %016" PRIx64 "%s%s: %s\n", o->kind_name, row->key.id, o->name ? " " : "",
	       o->name ? o->name : "", metrics[row->key.metric].text);
	printf("%" PRIu64 " times", hist->count);
	if (hist->count)
		printf(", mean %s, half below %s, 99%% below %s, longest %s", avg, p50, p99, max);
	putchar('\n');
	bars(hist);
	if (hist->unknown)
		printf("and %" PRIu64 " not known: %s\n", hist->unknown,
		       metrics[row->key.metric].unknown);
}

void trace_hists_text(struct trace_hists *h, trace_find_object find, void *arg)
{
	sort(h);
	for (size_t i = 0; i < h->n; i++) {
		if (i)
			putchar('\n');
		one_text(&h->row[i], find(h->row[i].key.id, arg));
	}
}

/* ---- JSON ---- */

static void one_json(struct json *j, const struct row *row, const struct trace_object *o)
{
	const struct trace_hist *hist = &row->hist;
	int first, last;

	json_open(j, NULL, '{');
	json_string(j, "histogram", metrics[row->key.metric].key);
	trace_json_object(j, row->key.id, o);
	trace_json_number(j, "count", hist->count);
	trace_json_number(j, "unknown", hist->unknown);
	trace_json_number(j, "mean_ns", mean(hist));
	trace_json_number(j, "max_ns", hist->max_ns);
	json_open(j, "buckets", '[');
	for (int i = span(hist, &first, &last) ? first : 1; i <= last; i++) {
		json_open(j, NULL, '{');
		trace_json_number(j, "from_ns", bucket_from(i));
		trace_json_number(j, "to_ns", bucket_to(i));
		trace_json_number(j, "count", hist->bucket[i]);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	trace_json_line(j);
}

void trace_hists_json(struct trace_hists *h, struct json *j, trace_find_object find, void *arg)
{
	sort(h);
	for (size_t i = 0; i < h->n; i++)
		one_json(j, &h->row[i], find(h->row[i].key.id, arg));
}
