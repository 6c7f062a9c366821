/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Error numbers for programs that include the C library's <errno.h>; there is no C library here.
 */
#include <asm/errno.h>
