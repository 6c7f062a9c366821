/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The GNU C library's headers include this file on targets that they do not know, such as eBPF. It is empty.
 */
