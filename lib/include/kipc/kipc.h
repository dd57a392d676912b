/* SPDX-License-Identifier: MIT */
/*
 * All of libkipc.  Each header can be included alone as well:
 *
 *	queue.h		messages, many producers, many consumers
 *	pipe.h		messages and descriptors between two ends
 *	shm.h, array.h	memory that several processes map, with or without a description
 *	view.h		parts of arrays, and arrays in another shape
 *	manager.h	shared containers and locks: list.h, dict.h, lock.h, with the values of value.h
 *	object.h	handing any of these over to another process
 *	names.h		how objects are found by name
 *	export.h	the same by descriptors that you pass yourself, and over exec
 *	waitset.h	one wait over many of these, timers, signals, children, descriptors
 *	uring.h		a queue or pipe in an io_uring that runs already
 *	check.h		the auditor: whether an object is sound
 *	base.h		conventions, errors, features
 *
 * Link with -lkipc.
 */
#ifndef KIPC_KIPC_H
#define KIPC_KIPC_H

#include <kipc/base.h>
#include <kipc/version.h>
#include <kipc/object.h>
#include <kipc/export.h>
#include <kipc/names.h>
#include <kipc/queue.h>
#include <kipc/pipe.h>
#include <kipc/shm.h>
#include <kipc/array.h>
#include <kipc/view.h>
#include <kipc/value.h>
#include <kipc/manager.h>
#include <kipc/list.h>
#include <kipc/dict.h>
#include <kipc/lock.h>
#include <kipc/check.h>
#include <kipc/waitset.h>
#include <kipc/uring.h>

#endif
