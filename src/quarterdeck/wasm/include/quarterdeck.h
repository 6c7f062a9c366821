/* SPDX-License-Identifier: Apache-2.0
 *
 * quarterdeck.h: write a batch transform in a few lines of freestanding C.
 *
 *     #include "quarterdeck.h"
 *
 *     struct event { u64 ts; u32 pid; char comm[16]; };
 *
 *     QD_SETTING(u32, skip_pid, 0)
 *     QD_TABLE((u64, time), (u32, pid), (string, comm))
 *     QD_TRANSFORM(struct event, e)
 *     {
 *         if (e->pid != skip_pid)
 *             QD_ROW(.time = e->ts, .pid = e->pid, .comm = qd_str(e->comm));
 *     }
 *
 * The host passes a whole span of records; this header walks it and runs the author's body for each record. Every
 * QD_ROW appends one row to the column buffers below, which have Arrow's layout and which the host reads in place. When
 * a buffer is full, the body of the current record ends at the QD_ROW that did not fit, its rows are removed, and the
 * next call processes the record again, so nothing is lost. The exports are described in docs/reference/wasm-abi.md.
 *
 * A pointer, `long` and `size_t` have 4 bytes in wasm32 and 8 in BPF. A struct that is shared with a BPF program must
 * use types of a fixed width. The host compares the sizes and refuses a transform whose record differs.
 */
#ifndef QUARTERDECK_H
#define QUARTERDECK_H

/* ── Macros that may be defined before the #include ──────────────────────────────────────────────────────────────── */

#ifndef QD_ROWS
#define QD_ROWS 8192 /* rows that one call can return; more rows take more calls */
#endif
#ifndef QD_ITEMS
#define QD_ITEMS (32 * QD_ROWS) /* bytes of each string or binary column, items of each list column, in one call */
#endif

/* ── Types of the kernel and of the C library ────────────────────────────────────────────────────────────────────── */

typedef unsigned char u8, __u8, uint8_t;
typedef unsigned short u16, __u16, __be16, __le16, uint16_t;
typedef unsigned int u32, __u32, __be32, __le32, __wsum, uint32_t;
typedef unsigned long long u64, __u64, __be64, __le64, uint64_t;
typedef signed char s8, __s8, int8_t;
typedef short s16, __s16, int16_t;
typedef int s32, __s32, pid_t, int32_t;
typedef long long s64, __s64, int64_t;
typedef float f32;
typedef double f64;
typedef __SIZE_TYPE__ size_t;
typedef __UINTPTR_TYPE__ uintptr_t;
#define NULL ((void *)0)
#if __STDC_VERSION__ < 202311L
typedef _Bool bool;
#define true 1
#define false 0
#define static_assert _Static_assert
#endif

/* The cell of a column of each type, qd_<type>. One of varying length has `count` `items`; QD_ROW copies them. */
typedef bool qd_bool;
typedef u8 qd_u8;
typedef u16 qd_u16;
typedef u32 qd_u32;
typedef u64 qd_u64;
typedef s8 qd_s8;
typedef s16 qd_s16;
typedef s32 qd_s32;
typedef s64 qd_s64;
typedef f32 qd_f32;
typedef f64 qd_f64;
typedef s64 qd_timestamp_ns; /* of the clock that the program reads: bpf_ktime_get_ns() by default */
typedef s64 qd_duration_ns;
typedef u32 qd_ipv4; /* host order: use qd_from_ipv4 */
typedef struct { u8 bytes[16]; } qd_ipv6, qd_ip; /* qd_ip has IPv4 as ::ffff:a.b.c.d: use qd_from_ip */
typedef u64 qd_mac; /* the first octet highest: use qd_from_mac */
typedef struct { const char *items; u32 count; } qd_string, qd_json;
typedef struct { const u8 *items; u32 count; } qd_binary;
typedef struct { const u32 *items; u32 count; } qd_u32_list;
typedef struct { const u64 *items; u32 count; } qd_u64_list;
typedef struct { const s32 *items; u32 count; } qd_s32_list;
typedef struct { const s64 *items; u32 count; } qd_s64_list;
typedef struct { const f64 *items; u32 count; } qd_f64_list;

/* ── Functions of the C library ──────────────────────────────────────────────────────────────────────────────────── */

#define QD_WEAK __attribute__((weak))
#define QD_INLINE static inline __attribute__((always_inline, unused))
#define QD_EXPORT(name) __attribute__((export_name(name), used))
#define QD_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define QD_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* The compiler turns these two into memory.copy and memory.fill; it also calls them by name. */
QD_WEAK void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
QD_WEAK void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
QD_WEAK void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

QD_WEAK __attribute__((no_builtin)) int memcmp(const void *left, const void *right, size_t size)
{
    const u8 *a = left, *b = right;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}

QD_WEAK __attribute__((no_builtin)) size_t strnlen(const char *text, size_t limit)
{
    size_t size = 0;
    while (size < limit && text[size])
        size++;
    return size;
}

QD_WEAK __attribute__((no_builtin)) size_t strlen(const char *text) { return strnlen(text, (size_t)-1); }

QD_WEAK __attribute__((no_builtin)) int strncmp(const char *left, const char *right, size_t limit)
{
    for (size_t i = 0; i < limit; i++)
        if (left[i] != right[i] || !left[i])
            return (u8)left[i] - (u8)right[i];
    return 0;
}

QD_INLINE u16 qd_ntohs(u16 value) { return __builtin_bswap16(value); }
QD_INLINE u32 qd_ntohl(u32 value) { return __builtin_bswap32(value); }

/* Numbers at any address, in memory of any type. */
typedef u64 __attribute__((may_alias, aligned(1))) qd_any_u64;
typedef u32 __attribute__((may_alias, aligned(1))) qd_any_u32;
typedef u16 __attribute__((may_alias, aligned(1))) qd_any_u16;

/* Return the length of the text in an array of `limit` bytes. Read eight bytes at a time, never past the array. */
QD_INLINE u32 qd_length(const char *text, u32 limit)
{
    u32 at = 0;
    for (; at + 8 <= limit; at += 8) {
        u64 word = *(const qd_any_u64 *)(text + at);
        u64 zeros = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
        if (zeros)
            return at + ((u32)__builtin_ctzll(zeros) >> 3);
    }
    while (at < limit && text[at])
        at++;
    return at;
}

/* Copy `size` bytes, usually few, as words; the last word may overlap the one before. */
QD_INLINE void qd_copy(u8 *to, const void *source, u32 size)
{
    const u8 *from = source;
    if (QD_UNLIKELY(size > 128)) {
        __builtin_memcpy(to, from, size);
    } else if (size >= 8) {
        for (u32 at = 0; at + 8 <= size; at += 8)
            *(qd_any_u64 *)(to + at) = *(const qd_any_u64 *)(from + at);
        *(qd_any_u64 *)(to + size - 8) = *(const qd_any_u64 *)(from + size - 8);
    } else if (size >= 4) {
        *(qd_any_u32 *)to = *(const qd_any_u32 *)from;
        *(qd_any_u32 *)(to + size - 4) = *(const qd_any_u32 *)(from + size - 4);
    } else if (size >= 2) {
        *(qd_any_u16 *)to = *(const qd_any_u16 *)from;
        *(qd_any_u16 *)(to + size - 2) = *(const qd_any_u16 *)(from + size - 2);
    } else if (size) {
        *to = *from;
    }
}

/* ── Cells ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Return the text at `text`, up to its NUL and at most `limit` bytes. */
QD_INLINE qd_string qd_strn(const char *text, u32 limit) { return (qd_string){text, (u32)strnlen(text, limit)}; }

/* Return the text in a char array or a literal, up to its NUL: qd_str(e->comm). For a pointer, use qd_strn. */
#define qd_str(array)                                                                                              \
    ({                                                                                                             \
        static_assert(!__builtin_types_compatible_p(typeof(array), typeof(&(array)[0])),                           \
                      "qd_str takes a char array; of a pointer, use qd_strn(pointer, limit)");                     \
        (qd_string){(const char *)(array), qd_length((const char *)(array), sizeof(array))};                       \
    })

/* Return the `size` bytes at `address`, or the bytes of a variable or a field. */
#define qd_bytes(address, size) ((qd_binary){(const u8 *)(address), (size)})
#define qd_bytes_of(object) qd_bytes(&(object), sizeof(object))

/* Convert addresses from the kernel's network order: qd_from_ipv4(&e->saddr), … */
QD_INLINE qd_ipv4 qd_from_ipv4(const void *address) { return __builtin_bswap32(*(const qd_any_u32 *)address); }
QD_INLINE qd_ipv6 qd_from_ipv6(const void *address) { return *(const qd_ipv6 *)address; }
/* Convert an address of either kind (IPv4 in the first four bytes); `family`: AF_INET (2), AF_INET6 (10), 4 or 6. */
QD_INLINE qd_ip qd_from_ip(const void *address, u32 family)
{
    qd_ip ip = *(const qd_ip *)address;
    if (family != 2 && family != 4)
        return ip;
    for (u32 i = 0; i < 4; i++)
        ip.bytes[12 + i] = ip.bytes[i];
    for (u32 i = 0; i < 12; i++)
        ip.bytes[i] = i < 10 ? 0 : 0xff;
    return ip;
}
QD_INLINE qd_mac qd_from_mac(const void *address)
{
    const u8 *octets = address;
    u64 mac = 0;
    for (u32 i = 0; i < 6; i++)
        mac = mac << 8 | octets[i];
    return mac;
}

/* ── Logging: the only function of the host that a transform may call ────────────────────────────────────────────── */

enum { QD_DEBUG = 10, QD_INFO = 20, QD_WARNING = 30, QD_ERROR = 40 };

__attribute__((import_module("quarterdeck"), import_name("log")))
void qd_log_bytes(u32 level, const char *text, u32 size);

/* Write a line to the agent's log. Use it rarely: the host keeps only the first lines of a call. */
QD_INLINE void qd_log(u32 level, const char *text) { qd_log_bytes(level, text, (u32)strlen(text)); }

/* ── The description: one line of text for each fact, collected by the linker, read by the host ──────────────────── */

#define QD_LINE __attribute__((used, retain, section("quarterdeck"), aligned(1)))
extern const char __start_quarterdeck[], __stop_quarterdeck[];
QD_LINE static const char qd_about_abi[] = "abi 1";

QD_EXPORT("qd_describe") u64 qd_describe(void)
{
    u64 size = (u64)(__stop_quarterdeck - __start_quarterdeck);
    return size << 32 | (uintptr_t)__start_quarterdeck;
}

/* Only the compiler knows sizes, not the preprocessor: write six decimal digits, with leading zeros. */
#define QD_DIGIT(value, unit) (char)('0' + (value) / (unit) % 10)
#define QD_DIGITS(value)                                                                                           \
    {QD_DIGIT(value, 100000), QD_DIGIT(value, 10000), QD_DIGIT(value, 1000), QD_DIGIT(value, 100),                 \
     QD_DIGIT(value, 10),     QD_DIGIT(value, 1)}

/* ── Settings ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Declare a named number that the host may set before the first batch; the transform reads it like any variable. */
#define QD_SETTING(type, name, value)                                                                              \
    QD_LINE static const char qd_setting_##name[] = "setting " QD_WORD_##type " " #name " " #value;                \
    static type name = value;                                                                                      \
    QD_EXPORT("qd_set_" #name) void qd_set_##name(type qd_value) { name = qd_value; }

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

#define QD_WORD_bool "bool"
#define QD_WORD_u8 "uint8"
#define QD_WORD_u16 "uint16"
#define QD_WORD_u32 "uint32"
#define QD_WORD_u64 "uint64"
#define QD_WORD_s8 "int8"
#define QD_WORD_s16 "int16"
#define QD_WORD_s32 "int32"
#define QD_WORD_s64 "int64"
#define QD_WORD_f32 "float32"
#define QD_WORD_f64 "float64"
#define QD_WORD_timestamp_ns "timestamp_ns"
#define QD_WORD_duration_ns "duration_ns"
#define QD_WORD_ipv4 "ipv4"
#define QD_WORD_ipv6 "ipv6"
#define QD_WORD_ip "ip"
#define QD_WORD_mac "mac"
#define QD_WORD_string "string"
#define QD_WORD_json "json"
#define QD_WORD_binary "binary"
#define QD_WORD_u32_list "list<uint32>"
#define QD_WORD_u64_list "list<uint64>"
#define QD_WORD_s32_list "list<int32>"
#define QD_WORD_s64_list "list<int64>"
#define QD_WORD_f64_list "list<float64>"

/* A column of a fixed type is an array of values; any other is offsets and items. */
#define QD_KIND_bool FIXED
#define QD_KIND_u8 FIXED
#define QD_KIND_u16 FIXED
#define QD_KIND_u32 FIXED
#define QD_KIND_u64 FIXED
#define QD_KIND_s8 FIXED
#define QD_KIND_s16 FIXED
#define QD_KIND_s32 FIXED
#define QD_KIND_s64 FIXED
#define QD_KIND_f32 FIXED
#define QD_KIND_f64 FIXED
#define QD_KIND_timestamp_ns FIXED
#define QD_KIND_duration_ns FIXED
#define QD_KIND_ipv4 FIXED
#define QD_KIND_ipv6 FIXED
#define QD_KIND_ip FIXED
#define QD_KIND_mac FIXED
#define QD_KIND_string VARYING
#define QD_KIND_json VARYING
#define QD_KIND_binary VARYING
#define QD_KIND_u32_list VARYING
#define QD_KIND_u64_list VARYING
#define QD_KIND_s32_list VARYING
#define QD_KIND_s64_list VARYING
#define QD_KIND_f64_list VARYING

#define QD_JOIN_(left, right) left##right
#define QD_JOIN(left, right) QD_JOIN_(left, right)

/* QD_EACH(MACRO, (a, b), (c, d)) is MACRO(a, b) MACRO(c, d); up to 256 columns. */
#define QD_PARENS ()
#define QD_EXPAND(...) QD_EXPAND3(QD_EXPAND3(QD_EXPAND3(QD_EXPAND3(__VA_ARGS__))))
#define QD_EXPAND3(...) QD_EXPAND2(QD_EXPAND2(QD_EXPAND2(QD_EXPAND2(__VA_ARGS__))))
#define QD_EXPAND2(...) QD_EXPAND1(QD_EXPAND1(QD_EXPAND1(QD_EXPAND1(__VA_ARGS__))))
#define QD_EXPAND1(...) QD_EXPAND0(QD_EXPAND0(QD_EXPAND0(QD_EXPAND0(__VA_ARGS__))))
#define QD_EXPAND0(...) __VA_ARGS__
#define QD_EACH(macro, ...) __VA_OPT__(QD_EXPAND(QD_EACH_STEP(macro, __VA_ARGS__)))
#define QD_EACH_STEP(macro, first, ...) macro first __VA_OPT__(QD_EACH_NEXT QD_PARENS(macro, __VA_ARGS__))
#define QD_EACH_NEXT() QD_EACH_STEP

#define QD_FIELD(type, name) qd_##type name;

#define QD_BUFFER(type, name) QD_JOIN(QD_BUFFER_, QD_KIND_##type)(type, name)
#define QD_BUFFER_FIXED(type, name)                                                                                \
    QD_LINE static const char qd_column_##name[] = "column " QD_WORD_##type " " #name;                             \
    static qd_##type qd_values_##name[QD_ROWS];
#define QD_BUFFER_VARYING(type, name)                                                                              \
    QD_LINE static const char qd_column_##name[] = "column " QD_WORD_##type " " #name;                             \
    static u32 qd_offsets_##name[QD_ROWS + 1];                                                                     \
    static __attribute__((aligned(8))) u8 qd_values_##name[QD_ITEMS * sizeof(*((qd_##type *)0)->items)];

#define QD_STORE(type, name) QD_JOIN(QD_STORE_, QD_KIND_##type)(type, name)
#define QD_STORE_FIXED(type, name) qd_values_##name[at] = row->name;
#define QD_STORE_VARYING(type, name)                                                                               \
    {                                                                                                              \
        const u32 item = sizeof(*row->name.items), used = qd_offsets_##name[at];                                   \
        if (QD_UNLIKELY(row->name.count > QD_ITEMS - used))                                                        \
            return false;                                                                                          \
        qd_copy(qd_values_##name + used * item, row->name.items, row->name.count * item);                          \
        qd_offsets_##name[at + 1] = used + row->name.count;                                                        \
    }

#define QD_WHERE(type, name) QD_JOIN(QD_WHERE_, QD_KIND_##type)(type, name)
#define QD_WHERE_FIXED(type, name) {qd_values_##name, NULL},
#define QD_WHERE_VARYING(type, name) {qd_values_##name, qd_offsets_##name},

/* The result of one call, followed by the addresses of each column's buffers. All counts are of this call. */
struct qd_result {
    u32 consumed; /* bytes of the input that were processed */
    u32 records;  /* records in them, whether or not they became rows */
    u32 rows;
    u32 rejected; /* records that are too short, or that alone overflow the buffers */
    u32 lost;     /* records that the kernel reported as dropped (perf buffers) */
};

static u32 qd_rows;  /* rows in the buffers */
static bool qd_full; /* a row did not fit */

/* QD_TABLE((type, name), …): the columns of the table, in order. Types: bool, u8–u64, s8–s64, f32, f64, timestamp_ns,
   duration_ns, ipv4, ipv6, ip, mac, string, json, binary, u32_list, u64_list, s32_list, s64_list, f64_list. */
#define QD_TABLE(...)                                                                                              \
    struct qd_row { QD_EACH(QD_FIELD, __VA_ARGS__) };                                                              \
    QD_EACH(QD_BUFFER, __VA_ARGS__)                                                                                \
    static struct {                                                                                                \
        struct qd_result counts;                                                                                   \
        struct { const void *values, *offsets; } columns[sizeof((char[]){QD_EACH(QD_ONE, __VA_ARGS__)})];          \
    } qd_result = {{0}, {QD_EACH(QD_WHERE, __VA_ARGS__)}};                                                         \
    QD_INLINE bool qd_store(const struct qd_row *row, u32 at) { QD_EACH(QD_STORE, __VA_ARGS__) return true; }
#define QD_ONE(type, name) 1,

/* Append a row; return false when it does not fit, in which case the next call processes the record again. */
#define qd_emit(...)                                                                                               \
    ({                                                                                                             \
        const struct qd_row qd_cells = {__VA_ARGS__};                                                              \
        bool qd_fits = QD_LIKELY(qd_rows < QD_ROWS) && qd_store(&qd_cells, qd_rows);                               \
        if (QD_LIKELY(qd_fits))                                                                                    \
            qd_rows++;                                                                                             \
        else                                                                                                       \
            qd_full = true;                                                                                        \
        qd_fits;                                                                                                   \
    })

/* QD_ROW(.time = e->ts, …) appends a row in a function that returns void. Omitted columns are zero or empty. */
#define QD_ROW(...)                                                                                                \
    do {                                                                                                           \
        if (!qd_emit(__VA_ARGS__))                                                                                 \
            return;                                                                                                \
    } while (0)

/* ── Input ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum qd_layout { QD_RECORDS, QD_RING, QD_PERF, QD_ENTRIES };

/* Return a buffer for the host's input, in pages of its own: the author may grow the memory too. NULL: no memory. */
QD_EXPORT("qd_input") u8 *qd_input(u32 size)
{
    static u8 *buffer;
    static u32 capacity;
    if (buffer && size <= capacity)
        return buffer;
    u64 pages = ((u64)size + 65535) >> 16;
    size_t before = pages > 65535 ? (size_t)-1 : __builtin_wasm_memory_grow(0, (size_t)pages);
    if (before == (size_t)-1)
        return NULL;
    buffer = (u8 *)(before << 16);
    capacity = size;
    return buffer;
}

/* The walkers: each finds the payloads in a span and passes them to qd_take, which runs the author's body and returns
  false when the buffers are full. Each returns the number of bytes that were processed. */
#define QD_WALKERS(minimum)                                                                                        \
    QD_INLINE bool qd_take(const u8 *payload, u32 size)                                                            \
    {                                                                                                              \
        const u32 before = qd_rows;                                                                                \
        if (QD_UNLIKELY(before == QD_ROWS))                                                                        \
            return false;                                                                                          \
        if (QD_UNLIKELY(size < (minimum))) {                                                                       \
            qd_result.counts.rejected++;                                                                           \
        } else {                                                                                                   \
            qd_record(payload, size);                                                                              \
            if (QD_UNLIKELY(qd_full)) {                                                                            \
                qd_full = false;                                                                                   \
                qd_rows = before;                                                                                  \
                if (before)                                                                                        \
                    return false;                                                                                  \
                qd_result.counts.rejected++;                                                                       \
            }                                                                                                      \
        }                                                                                                          \
        qd_result.counts.records++;                                                                                \
        return true;                                                                                               \
    }                                                                                                              \
    /* struct bpf_ringbuf_hdr { u32 len; u32 pg_off; }: bit 31 of len is "busy", bit 30 "discarded". */            \
    QD_INLINE u32 qd_walk_ring(const u8 *input, u32 size)                                                          \
    {                                                                                                              \
        u32 at = 0;                                                                                                \
        while (size - at >= 8) {                                                                                   \
            u32 header = *(const u32 *)(input + at), length = header & 0x3fffffff, step = (length + 15) & ~7u;     \
            if (header >> 31 || step > size - at)                                                                  \
                break;                                                                                             \
            if (QD_LIKELY(!(header >> 30)) && !qd_take(input + at + 8, length))                                    \
                break;                                                                                             \
            at += step;                                                                                            \
        }                                                                                                          \
        return at;                                                                                                 \
    }                                                                                                              \
    /* struct perf_event_header { u32 type; u16 misc, size; }, then for SAMPLE (9) u32 length and the payload,     \
       for LOST (2) u64 id and u64 lost. */                                                                        \
    QD_INLINE u32 qd_walk_perf(const u8 *input, u32 size)                                                          \
    {                                                                                                              \
        u32 at = 0;                                                                                                \
        while (size - at >= 8) {                                                                                   \
            u32 type = *(const u32 *)(input + at), step = *(const u16 *)(input + at + 6);                          \
            if (step < 8 || step > size - at)                                                                      \
                break;                                                                                             \
            if (QD_LIKELY(type == 9 && step >= 12)) {                                                              \
                u32 length = *(const u32 *)(input + at + 8), room = step - 12;                                     \
                if (!qd_take(input + at + 12, length < room ? length : room))                                      \
                    break;                                                                                         \
            } else if (type == 2 && step >= 24) {                                                                  \
                qd_result.counts.lost += (u32)*(const qd_any_u64 *)(input + at + 16);                              \
            }                                                                                                      \
            at += step;                                                                                            \
        }                                                                                                          \
        return at;                                                                                                 \
    }                                                                                                              \
    QD_INLINE u32 qd_walk_packed(const u8 *input, u32 size, u32 step)                                              \
    {                                                                                                              \
        u32 at = 0;                                                                                                \
        while (size - at >= step && qd_take(input + at, step))                                                     \
            at += step;                                                                                            \
        return at;                                                                                                 \
    }

#define QD_EXPORT_TRANSFORM(walk)                                                                                  \
    QD_EXPORT("qd_transform") const void *qd_transform(u32 layout, const u8 *input, u32 size)                      \
    {                                                                                                              \
        (void)layout;                                                                                              \
        qd_rows = 0;                                                                                               \
        qd_full = false;                                                                                           \
        qd_result.counts = (struct qd_result){0};                                                                  \
        qd_result.counts.consumed = walk;                                                                          \
        qd_result.counts.rows = qd_rows;                                                                           \
        return &qd_result;                                                                                         \
    }

/* QD_TRANSFORM(struct event, e) { … } runs the body for each record, with `const struct event *e`. It accepts packed
  records, ring buffers and perf buffers. A record may be longer than the struct; a shorter one is counted as rejected. */
#define QD_TRANSFORM(type, name)                                                                                   \
    QD_LINE static const struct { char word[7], size[6], type_name[sizeof(" " #type)]; } qd_about_input = {        \
        {'r', 'e', 'c', 'o', 'r', 'd', ' '}, QD_DIGITS(sizeof(type)), " " #type};                                  \
    static inline __attribute__((always_inline)) void qd_body(const type *name);                                   \
    QD_INLINE void qd_record(const u8 *payload, u32 size) { (void)size; qd_body((const type *)payload); }          \
    QD_WALKERS(sizeof(type))                                                                                       \
    QD_EXPORT_TRANSFORM(layout == QD_RING   ? qd_walk_ring(input, size)                                            \
                        : layout == QD_PERF ? qd_walk_perf(input, size)                                            \
                                            : qd_walk_packed(input, size, sizeof(type)))                           \
    static inline __attribute__((always_inline)) void qd_body(const type *name)

/* QD_TRANSFORM_PAYLOADS(payload, size) { … } runs the body for records of varying length, with `const u8 *payload` and
  `u32 size`. It accepts ring and perf buffers. Bytes after `size` belong to the next record: check the size first. */
#define QD_TRANSFORM_PAYLOADS(payload_name, size_name)                                                             \
    QD_LINE static const char qd_about_input[] = "payload";                                                        \
    static inline __attribute__((always_inline)) void qd_body(const u8 *payload_name, u32 size_name);              \
    QD_INLINE void qd_record(const u8 *payload, u32 size) { qd_body(payload, size); }                              \
    QD_WALKERS(0)                                                                                                  \
    QD_EXPORT_TRANSFORM(layout == QD_RING ? qd_walk_ring(input, size) : qd_walk_perf(input, size))                 \
    static inline __attribute__((always_inline)) void qd_body(const u8 *payload_name, u32 size_name)

/* QD_TRANSFORM_ENTRIES(struct key, k, struct value, v) { … } runs the body for the entries of a map, each a key followed
  by its value, packed. */
#define QD_TRANSFORM_ENTRIES(key_type, key, value_type, value)                                                     \
    typedef key_type __attribute__((aligned(1))) qd_key;                                                           \
    typedef value_type __attribute__((aligned(1))) qd_value;                                                       \
    QD_LINE static const struct {                                                                                  \
        char word[6], key_size[6], space, value_size[6], names[sizeof(" " #key_type ", " #value_type)];            \
    } qd_about_input = {{'e', 'n', 't', 'r', 'y', ' '},                                                            \
                        QD_DIGITS(sizeof(key_type)), ' ', QD_DIGITS(sizeof(value_type)),                           \
                        " " #key_type ", " #value_type};                                                           \
    static inline __attribute__((always_inline)) void qd_body(const qd_key *key, const qd_value *value);           \
    QD_INLINE void qd_record(const u8 *entry, u32 size)                                                            \
    {                                                                                                              \
        (void)size;                                                                                                \
        qd_body((const qd_key *)entry, (const qd_value *)(entry + sizeof(key_type)));                              \
    }                                                                                                              \
    QD_WALKERS(0)                                                                                                  \
    QD_EXPORT_TRANSFORM(qd_walk_packed(input, size, sizeof(key_type) + sizeof(value_type)))                        \
    static inline __attribute__((always_inline)) void qd_body(const qd_key *key, const qd_value *value)

#endif
