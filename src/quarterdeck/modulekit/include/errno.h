/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Error numbers for programs that include <errno.h>. eBPF has no C library.
 */
#include <asm/errno.h>
