/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The GNU C library's headers ask for this on targets they do not know, as eBPF; it says what nobody here calls.
 */
