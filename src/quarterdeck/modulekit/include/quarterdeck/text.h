/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Texts that may be longer than their buffer. */
#ifndef QUARTERDECK_TEXT_H
#define QUARTERDECK_TEXT_H

// Replace the end of a text that was cut off by an ellipsis in UTF-8.
static __always_inline void mark_cut(char *end)
{
	end[-3] = 0xe2;
	end[-2] = 0x80;
	end[-1] = 0xa6;
}

#endif
