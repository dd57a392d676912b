// SPDX-License-Identifier: MIT
/* Making views of arrays and of views: arithmetic on shapes and strides, no element is touched. */
#include <errno.h>
#include <string.h>

#include "shm/view.h"

/* Elements, and the way from the first one down and up to the furthest ones.  False: overflow. */
static bool extent(const struct kipc_view *v, uint64_t *elements, int64_t *down, int64_t *up)
{
	int64_t step;

	*elements = 1;
	*down = *up = 0;
	for (uint32_t i = 0; i < v->ndim; i++) {
		if (!v->shape[i]) {
			*elements = 0;
			*down = *up = 0;
			return true;
		}
	}
	for (uint32_t i = 0; i < v->ndim; i++) {
		if (__builtin_mul_overflow(*elements, v->shape[i], elements) ||
		    v->shape[i] > INT64_MAX ||
		    __builtin_mul_overflow((int64_t)v->shape[i] - 1, v->strides[i], &step) ||
		    __builtin_add_overflow(step < 0 ? *down : *up, step, step < 0 ? down : up))
			return false;
	}
	return true;
}

int __kipc_view_check(const struct kipc_view *v, struct kipc_array_desc *d, const uint8_t *end[2])
{
	uint64_t size, bytes, off, elements;
	const struct kipc_array *a;
	int64_t down, up;

	if (!v || !v->array || v->ndim > KIPC_ARRAY_DIMS)
		return -EINVAL;
	a = v->array;
	size = load_relaxed(&a->region.size);
	off = (uint64_t)((uintptr_t)v->data - (uintptr_t)a->region.data);
	if (v->dtype != (enum kipc_dtype)a->desc.dtype || !extent(v, &elements, &down, &up) ||
	    __builtin_mul_overflow(elements, (uint64_t)a->desc.itemsize, &bytes) || bytes > size)
		return -EINVAL;
	/* both ends inside: down is not positive, up is not negative */
	if (off % a->desc.itemsize || off > size ||
	    (elements && (off + (uint64_t)down > off || (uint64_t)up > size - off ||
			  a->desc.itemsize > size - off - (uint64_t)up)))
		return -EINVAL;
	*d = (struct kipc_array_desc){
		.dtype = a->desc.dtype,
		.itemsize = a->desc.itemsize,
		.ndim = v->ndim,
		.elements = elements,
	};
	for (uint32_t i = 0; i < v->ndim; i++) {
		if (v->strides[i] % (int64_t)a->desc.itemsize)
			return -EINVAL;
		d->shape[i] = v->shape[i];
		d->strides[i] = v->strides[i];
	}
	end[0] = (const uint8_t *)v->data + down;
	end[1] = (const uint8_t *)v->data + up + (elements ? a->desc.itemsize : 0);
	return 0;
}

static int check(const struct kipc_view *v)
{
	struct kipc_array_desc d;
	const uint8_t *end[2];

	return __kipc_view_check(v, &d, end);
}

/* The same elements so far, with room for other axes. */
static struct kipc_view begin(const struct kipc_view *v, uint32_t ndim)
{
	return (struct kipc_view){
		.array = v->array,
		.data = v->data,
		.dtype = v->dtype,
		.ndim = ndim,
	};
}

KIPC_API int kipc_array_view(struct kipc_array *a, struct kipc_view *out)
{
	if (!a || !out)
		return -EINVAL;
	*out = (struct kipc_view){
		.array = a,
		.data = a->region.data,
		.dtype = (enum kipc_dtype)a->desc.dtype,
		.ndim = a->desc.ndim,
	};
	memcpy(out->shape, a->desc.shape, sizeof(out->shape));
	memcpy(out->strides, a->desc.strides, sizeof(out->strides));
	return 0;
}

KIPC_API int kipc_array_slice(struct kipc_array *a, const struct kipc_range *ranges,
			      struct kipc_view *out)
{
	struct kipc_view v;
	int r = kipc_array_view(a, &v);

	return r ? r : kipc_view_slice(&v, ranges, out);
}

/* An end of a range in an axis of n, which may lie outside: cut off at least and most. */
static int64_t clip(int64_t i, int64_t n, int64_t least, int64_t most)
{
	if (i < 0)
		i += n;
	return i < least ? least : i > most ? most : i;
}

/* How many indices a range has in an axis of n, and the first of them. */
static int64_t count(const struct kipc_range *r, int64_t n, int64_t step, int64_t *first)
{
	int64_t start, stop;

	/* backwards, the end before the first element is -1 */
	if (step > 0) {
		start = r->start == KIPC_RANGE_NONE ? 0 : clip(r->start, n, 0, n);
		stop = r->stop == KIPC_RANGE_NONE ? n : clip(r->stop, n, 0, n);
		*first = start;
		return start < stop ? (stop - start - 1) / step + 1 : 0;
	}
	start = r->start == KIPC_RANGE_NONE ? n - 1 : clip(r->start, n, -1, n - 1);
	stop = r->stop == KIPC_RANGE_NONE ? -1 : clip(r->stop, n, -1, n - 1);
	*first = start;
	return stop < start ? (start - stop - 1) / -step + 1 : 0;
}

KIPC_API int kipc_view_slice(const struct kipc_view *v, const struct kipc_range *ranges,
			     struct kipc_view *out)
{
	struct kipc_view s;
	int64_t off = 0;

	if (!out || check(v) || (v->ndim && !ranges))
		return -EINVAL;
	s = begin(v, v->ndim);
	for (uint32_t i = 0; i < v->ndim; i++) {
		int64_t step = ranges[i].step == KIPC_RANGE_NONE ? 1 : ranges[i].step, first, n;

		if (!step || v->shape[i] > INT64_MAX)
			return -EINVAL;
		n = count(&ranges[i], (int64_t)v->shape[i], step, &first);
		s.shape[i] = (uint64_t)n;
		/* a step that leads too far is one that is never taken */
		if (__builtin_mul_overflow(v->strides[i], step, &s.strides[i]))
			s.strides[i] = v->strides[i];
		/* of what is empty nothing lies anywhere: its strides may be any */
		if (__builtin_mul_overflow(first, v->strides[i], &first) ||
		    __builtin_add_overflow(off, first, &off))
			off = 0;
	}
	if (kipc_view_size(&s))
		s.data = (uint8_t *)v->data + off;
	*out = s;
	return 0;
}

/* -1: there is no such axis. */
static int axis_of(const struct kipc_view *v, int axis)
{
	if (axis < 0)
		axis += (int)v->ndim;
	return axis >= 0 && axis < (int)v->ndim ? axis : -1;
}

KIPC_API int kipc_view_index(const struct kipc_view *v, int axis, int64_t index,
			     struct kipc_view *out)
{
	struct kipc_view s;
	int64_t n;

	if (!out || check(v))
		return -EINVAL;
	axis = axis_of(v, axis);
	if (axis < 0)
		return -ERANGE;
	n = (int64_t)min_of(v->shape[axis], (uint64_t)INT64_MAX);
	if (index < 0)
		index += n;
	if (index < 0 || index >= n)
		return -ERANGE;
	s = begin(v, v->ndim - 1);
	for (uint32_t i = 0; i < s.ndim; i++) {
		s.shape[i] = v->shape[i + (i >= (uint32_t)axis)];
		s.strides[i] = v->strides[i + (i >= (uint32_t)axis)];
	}
	if (kipc_view_size(v))
		s.data = (uint8_t *)v->data + index * v->strides[axis];
	*out = s;
	return 0;
}

KIPC_API int kipc_view_transpose(const struct kipc_view *v, const int *axes, struct kipc_view *out)
{
	uint32_t used = 0;
	struct kipc_view s;

	if (!out || check(v))
		return -EINVAL;
	s = begin(v, v->ndim);
	for (uint32_t i = 0; i < v->ndim; i++) {
		int axis = axis_of(v, axes ? axes[i] : (int)(v->ndim - 1 - i));

		if (axis < 0 || (used & 1u << axis))
			return -EINVAL;
		used |= 1u << axis;
		s.shape[i] = v->shape[axis];
		s.strides[i] = v->strides[axis];
	}
	*out = s;
	return 0;
}

/* The shape, with what is left in the place of KIPC_SHAPE_REST, has so many elements.  Or -EINVAL. */
static int complete(struct kipc_view *s, const uint64_t *shape, uint64_t elements)
{
	uint64_t product = 1;
	int rest = -1;
	bool empty = false;

	for (uint32_t i = 0; i < s->ndim; i++) {
		s->shape[i] = shape[i];
		if (shape[i] == KIPC_SHAPE_REST && rest >= 0)
			return -EINVAL;
		if (shape[i] == KIPC_SHAPE_REST)
			rest = (int)i;
		else if (!shape[i])
			empty = true;
		else if (__builtin_mul_overflow(product, shape[i], &product))
			return -EINVAL;
	}
	if (rest >= 0) {
		/* beside a 0 anything would do */
		if (empty || elements % product)
			return -EINVAL;
		s->shape[rest] = elements / product;
		return 0;
	}
	return (empty ? 0 : product) == elements ? 0 : -EINVAL;
}

/* Axes of an array without those of length 1, joined where one goes on where the next one ends. */
static uint32_t join(const struct kipc_view *v, uint64_t *shape, int64_t *strides)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->ndim; i++) {
		if (v->shape[i] == 1)
			continue;
		if (n && strides[n - 1] == (int64_t)v->shape[i] * v->strides[i]) {
			shape[n - 1] *= v->shape[i];
			strides[n - 1] = v->strides[i];
			continue;
		}
		shape[n] = v->shape[i];
		strides[n++] = v->strides[i];
	}
	return n;
}

/*
 * Strides for the new shape, from the last axis on: each stretch of joined axes is cut into new
 * ones, which must come out even.
 */
static int cut(struct kipc_view *s, const uint64_t *shape, const int64_t *strides, uint32_t n,
	       uint32_t itemsize)
{
	uint64_t left = n ? shape[n - 1] : 1;
	int64_t stride = n ? strides[n - 1] : (int64_t)itemsize;

	for (uint32_t i = s->ndim; i-- > 0;) {
		if (s->shape[i] != 1 && left == 1) {
			/* the number of elements is the same, so there is another stretch */
			n--;
			left = shape[n - 1];
			stride = strides[n - 1];
		}
		s->strides[i] = stride;
		if (left % s->shape[i])
			return -ENOTSUP;
		left /= s->shape[i];
		/* not beyond the stretch: nothing lies there, and it may be too far */
		if (left > 1)
			stride *= (int64_t)s->shape[i];
	}
	return 0;
}

KIPC_API int kipc_view_reshape(const struct kipc_view *v, unsigned int ndim, const uint64_t *shape,
			       struct kipc_view *out)
{
	struct kipc_array_desc d, c;
	uint64_t lengths[KIPC_ARRAY_DIMS];
	int64_t strides[KIPC_ARRAY_DIMS];
	const uint8_t *end[2];
	struct kipc_view s;
	int r;

	if (!out || ndim > KIPC_ARRAY_DIMS || (ndim && !shape) || __kipc_view_check(v, &d, end))
		return -EINVAL;
	s = begin(v, ndim);
	r = complete(&s, shape, d.elements);
	if (r)
		return r;
	if (d.elements) {
		r = cut(&s, lengths, strides, join(v, lengths, strides), d.itemsize);
	} else {
		/* as if it had been created so; of nothing, no way is too far */
		r = __kipc_array_describe(&c, v->dtype, ndim, s.shape, false) ? -EINVAL : 0;
		memcpy(s.strides, c.strides, sizeof(s.strides));
	}
	if (!r)
		*out = s;
	return r;
}

KIPC_API size_t kipc_view_size(const struct kipc_view *v)
{
	uint64_t elements;
	int64_t down, up;

	if (!v || v->ndim > KIPC_ARRAY_DIMS || !extent(v, &elements, &down, &up))
		return 0;
	return (size_t)elements;
}

KIPC_API void *kipc_view_at(const struct kipc_view *v, const int64_t *index)
{
	struct kipc_array_desc d;
	const uint8_t *end[2];
	int64_t off = 0, i;

	if (__kipc_view_check(v, &d, end) || (d.ndim && !index) || !d.elements)
		return NULL;
	for (uint32_t dim = 0; dim < d.ndim; dim++) {
		i = index[dim] < 0 ? index[dim] + (int64_t)d.shape[dim] : index[dim];
		if (i < 0 || (uint64_t)i >= d.shape[dim])
			return NULL;
		off += i * d.strides[dim];
	}
	return (uint8_t *)v->data + off;
}
