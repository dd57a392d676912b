/* SPDX-License-Identifier: MIT */
/*
 * Saving a segment to a file: the bytes as they are, at the same places, with struct kipc_seg_image
 * in the header (uapi/kipc/segment.h) for what they don't tell.  Reading one is
 * view_open_image() (segment-view.h); kipc_check_fd() takes the file as well.
 *
 * A copy is no snapshot.  It is compared with the segment afterwards; if that moved, all is copied
 * anew, a few times, and in the end the image says that it can't be trusted in that.  What a user's
 * data in shared memory and arrays do meanwhile doesn't count.
 */
#ifndef TOOLS_COMMON_IMAGE_H
#define TOOLS_COMMON_IMAGE_H

#include "tools/common/segment-view.h"

/*
 * Writes the image to path, mode 0600, replacing what is there when it is complete.  moved: out, see
 * above.  0; -EPROTO: the segment could not be read; what the file system says, after which there
 * is no such file, or the old one.
 */
int image_save(struct view *v, const char *path, bool *moved);

#endif
