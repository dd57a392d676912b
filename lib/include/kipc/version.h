/* SPDX-License-Identifier: MIT */
/*
 * The version of the headers. kipc_version() tells that of the library in use.
 *
 * Major and minor follow the newest node of lib/libkipc.map; the build refuses when they differ.
 */
#ifndef KIPC_VERSION_H
#define KIPC_VERSION_H

#define KIPC_VERSION_MAJOR 0
#define KIPC_VERSION_MINOR 1
#define KIPC_VERSION_PATCH 0

/* One number that grows with the version: 0x00MMmmpp. */
#define KIPC_VERSION                                                                               \
	((KIPC_VERSION_MAJOR << 16) | (KIPC_VERSION_MINOR << 8) | KIPC_VERSION_PATCH)

#endif /* KIPC_VERSION_H */
