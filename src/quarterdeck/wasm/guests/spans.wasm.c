/* SPDX-License-Identifier: Apache-2.0
 *
 * Find the payloads of a ring or perf span: their offsets from its start, and their lengths. A built-in guest, used by
 * quarterdeck.wasm.spans, whose chunks of 512 KiB have at most 32768 records of 16 bytes.
 */
#define QD_ROWS 32768
#include "quarterdeck.h"

QD_TABLE((u32, offset), (u32, length))

QD_TRANSFORM_PAYLOADS(payload, size)
{
    QD_ROW(.offset = (u32)(payload - qd_input(0)), .length = size);
}
