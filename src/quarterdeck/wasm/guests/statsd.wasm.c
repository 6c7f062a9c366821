/* SPDX-License-Identifier: Apache-2.0
 *
 * Statsd: lines as input, sums as output. It is not a transform: it keeps its sums until the host reads them, and so
 * exports other functions.
 *
 *     feed(source, size, 0)      process `size` bytes of lines in `input`; each `source` number has its own keys
 *     receive(source, count, 0)  process `count` packets in `packets`, with headers in `headers`, as recvmmsg(2) wrote them
 *     turn(idle, 0, 0)           begin an interval; keys without a sample for `idle` intervals are removed
 *     place(what, 0, 0)          return the address of input, packets, headers, keys, cells, texts or report (0 to 6)
 *
 * A line is `name:value|type`, or `name:value:value…|type`, then in any order `|@rate`, `|#tags`, and sections that are
 * ignored. A key is source, name and tags as they were written. No call fails: lines that cannot be processed are counted
 * in `report`, with events and service checks (`_e{…`, `_sc|…`) counted separately.
 */
#pragma clang attribute push(__attribute__((target("simd128"))), apply_to = function) /* every wasmtime has it */
#define EXPORT(name) __attribute__((export_name(#name)))

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef double f64;
typedef signed char block __attribute__((vector_size(16)));

enum {
	INPUT_BYTES = 256 << 10,
	PACKETS = 128,
	PACKET_BYTES = 64 << 10, PACKET_ROOM = PACKET_BYTES - 16, /* more than UDP can carry */
	KEYS = 16 << 10,
	KEY_SLOTS = 4 * KEYS,
	TEXT_BYTES = 4 << 20,
	NAME_BYTES = 1024, /* of a name and its tags together */
	CELLS = 256 << 10,
	CELL_SLOTS = 4 * CELLS,
	CELL_PROBES = 512,
	SAMPLE_BYTES = 120,
	TRUNCATED = 0x20, /* MSG_TRUNC */
};

enum kind { COUNTER, GAUGE, TIMER, SET, LAST };

/* The header of a packet on 64-bit Linux: struct mmsghdr. The pointers are the host's. */
struct header {
	u64 host[6];
	u32 flags, pad;
	u32 size, pad2;
};

struct key {
	u64 hash;
	u32 source, text; /* `text`: offset of its name in `texts`; the tags follow it */
	u32 name_size, tags_size;
	u32 kind, idle;   /* `idle`: intervals without a sample */
	u64 samples;      /* in this interval, like the following fields */
	f64 count;        /* samples, each divided by its rate */
	f64 sum, min, max;
	f64 last;         /* a gauge keeps it in later intervals */
};

/* The samples of a timer between two neighbouring values, or one member of a set. */
struct cell {
	u64 what;
	u32 key, slot;
	f64 weight;
};

struct sample {
	u32 size;
	u8 text[SAMPLE_BYTES];
};

static struct {
	u64 lines, packets, malformed, changed, keyless, crowded, events, checks;
	u32 keys, cells, texts, pad;
	struct sample malformed_sample, changed_sample;
} report;

static u8 input[INPUT_BYTES + 16], packets[PACKETS][PACKET_BYTES], texts[TEXT_BYTES + 16];
static struct header headers[PACKETS];
static struct key keys[KEYS];
static struct cell cells[CELLS];
static u32 key_slots[KEY_SLOTS], cell_slots[CELL_SLOTS];

static void copy(u8 *to, const u8 *from, u32 size)
{
	__builtin_memcpy(to, from, size);
}

/* Return eight bytes, with zeros from the `size`th on. Every buffer has space for the unused bytes after its end. */
static u64 word(const u8 *at, u32 size)
{
	u64 bytes;

	__builtin_memcpy(&bytes, at, 8);
	return size < 8 ? bytes & ((1ULL << (8 * size)) - 1) : bytes;
}

static int same(const u8 *a, const u8 *b, u32 size)
{
	for (; size; a += 8, b += 8, size -= size < 8 ? size : 8)
		if (word(a, size) != word(b, size))
			return 0;
	return 1;
}

/* Return the first byte in [at, end) that is `this` or `that`, else `end`. */
static const u8 *either(const u8 *at, const u8 *end, u8 this, u8 that)
{
	for (; at < end; at += 16) {
		block bytes;

		__builtin_memcpy(&bytes, at, 16);
		u32 found = __builtin_wasm_bitmask_i8x16((bytes == (signed char)this) | (bytes == (signed char)that));
		if (found) {
			at += __builtin_ctz(found);
			return at < end ? at : end;
		}
	}
	return end;
}

static const u8 *until(const u8 *at, const u8 *end, u8 what)
{
	return either(at, end, what, what);
}

static void remember(struct sample *sample, const u8 *at, const u8 *end)
{
	u32 size = end - at > SAMPLE_BYTES ? SAMPLE_BYTES : end - at;

	if (sample->size)
		return;
	copy(sample->text, at, size);
	sample->size = size;
}

static u64 hash(u64 state, const u8 *at, u32 size)
{
	for (; size; at += 8, size -= size < 8 ? size : 8) {
		state = (state ^ word(at, size)) * 0x9E3779B97F4A7C15ULL;
		state ^= state >> 29;
	}
	state *= 0xD6E8FEB86659FD93ULL;
	return state ^ state >> 32;
}

/* Parse a decimal number that fills [at, end): exact up to 15 digits, beyond that to a few units of the last place. */
static int number(const u8 *at, const u8 *end, f64 *value)
{
	static const f64 tens[] = {1e0,	 1e1,  1e2,  1e3,  1e4,	 1e5,  1e6,  1e7,  1e8,	 1e9,  1e10, 1e11,
				   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	u64 digits = 0;
	int seen = 0, scale = 0, point = 0, minus = 0, exponent = 0, down = 0;

	if (at < end && (*at == '-' || *at == '+'))
		minus = *at++ == '-';
	for (; at < end; at++) {
		u32 digit = *at - '0';

		if (digit < 10) {
			seen = 1;
			if (digits < 1000000000000000000ULL) {
				digits = digits * 10 + digit;
				scale -= point;
			} else
				scale += !point;
		} else if (*at == '.' && !point)
			point = 1;
		else
			break;
	}
	if (seen && at < end && (*at | 32) == 'e') {
		if (++at < end && (*at == '-' || *at == '+'))
			down = *at++ == '-';
		for (seen = 0; at < end && (u32)(*at - '0') < 10; at++, seen = 1)
			exponent = exponent < 10000 ? exponent * 10 + (*at - '0') : exponent;
	}
	if (!seen || at < end)
		return 0;
	f64 result = digits;
	for (scale += down ? -exponent : exponent; scale > 0 && digits; scale -= scale > 22 ? 22 : scale) {
		result *= tens[scale > 22 ? 22 : scale];
		if (result > 1.7976931348623157e308)
			return 0;
	}
	for (; scale < 0 && result != 0; scale += scale < -22 ? 22 : -scale)
		result /= tens[scale < -22 ? 22 : -scale];
	*value = minus ? -result : result;
	return 1;
}

static struct key *find(u32 source, const u8 *name, u32 name_size, const u8 *tags, u32 tags_size, u32 kind)
{
	u64 wanted = hash(hash(source + 1, name, name_size), tags, tags_size);
	u32 slot = wanted % KEY_SLOTS;

	for (; key_slots[slot]; slot = (slot + 1) % KEY_SLOTS) {
		struct key *key = &keys[key_slots[slot] - 1];
		const u8 *text = texts + key->text;

		if (key->hash == wanted && key->source == source && key->name_size == name_size && key->tags_size == tags_size &&
		    same(text, name, name_size) && same(text + name_size, tags, tags_size))
			return key;
	}
	if (report.keys == KEYS || report.texts + name_size + tags_size > TEXT_BYTES)
		return 0;
	key_slots[slot] = report.keys + 1;
	struct key *key = &keys[report.keys++];
	*key = (struct key){
		.hash = wanted,
		.source = source,
		.text = report.texts,
		.name_size = name_size,
		.tags_size = tags_size,
		.kind = kind,
	};
	copy(texts + report.texts, name, name_size);
	copy(texts + report.texts + name_size, tags, tags_size);
	report.texts += name_size + tags_size;
	return key;
}

/* Cells of neighbouring values are adjacent, so that a timer touches few pages. */
static void put(struct key *key, u64 what, f64 weight)
{
	u32 index = key - keys, slot = (index * 0x9E3779B1U + (u32)(what ^ what >> 32)) % CELL_SLOTS;

	for (int probes = 0; probes < CELL_PROBES; probes++, slot = (slot + 1) % CELL_SLOTS) {
		if (!cell_slots[slot]) {
			if (report.cells == CELLS)
				break;
			cells[report.cells] = (struct cell){.what = what, .key = index, .slot = slot, .weight = weight};
			cell_slots[slot] = ++report.cells;
			return;
		}
		struct cell *cell = &cells[cell_slots[slot] - 1];
		if (cell->key == index && cell->what == what) {
			cell->weight += weight;
			return;
		}
	}
	report.crowded++;
}

static void add(struct key *key, f64 value, f64 weight)
{
	if (!key->samples || value < key->min)
		key->min = value;
	if (!key->samples || value > key->max)
		key->max = value;
	key->samples++;
	key->count += weight;
	key->sum += value * weight;
	key->last = value;
}

struct line {
	const u8 *name, *value, *tags;
	u32 name_size, value_size, tags_size, kind;
	const u8 *stop; /* end of the first value, `first`; further packed values may follow */
	f64 rate, first;
};

static int section(struct line *line, const u8 *at, const u8 *end)
{
	if (at == end)
		return 0;
	switch (*at) {
	case '@':
		return number(at + 1, end, &line->rate) && line->rate > 0 && line->rate <= 1;
	case '#':
		line->tags = at + 1;
		line->tags_size = end - at - 1;
		return 1;
	}
	return 1; /* a container, a time, or an unknown section */
}

static int type_of(const u8 *at, u32 size, u32 *kind)
{
	if (size == 1)
		switch (*at) {
		case 'c': return *kind = COUNTER, 1;
		case 'g': return *kind = GAUGE, 1;
		case 'h':
		case 'd': return *kind = TIMER, 1;
		case 's': return *kind = SET, 1;
		}
	if (size == 2 && at[0] == 'm' && at[1] == 's')
		return *kind = TIMER, 1;
	if (size == 2 && at[0] == 'k' && at[1] == 'v')
		return *kind = LAST, 1;
	return 0;
}

/* Split [at, end) into its parts; return 0 when it is not a metric. */
static int split(struct line *line, const u8 *at, const u8 *end)
{
	const u8 *colon = either(at, end, ':', '|'), *stop = either(colon + 1, end, ':', '|'), *bar = until(stop, end, '|');

	if (colon == at || colon == end || *colon == '|' || bar == end || bar == colon + 1)
		return 0;
	line->name = at;
	line->name_size = colon - at;
	line->value = colon + 1;
	line->value_size = bar - line->value;
	line->stop = stop;
	const u8 *next = until(bar + 1, end, '|');
	if (!type_of(bar + 1, next - bar - 1, &line->kind))
		return 0;
	while (next < end) {
		const u8 *from = next + 1;

		next = until(from, end, '|');
		if (!section(line, from, next))
			return 0;
	}
	return line->name_size + line->tags_size <= NAME_BYTES;
}

/* Return whether every value of a line is a number; the value of a set is any text, including colons. */
static int numbers(struct line *line)
{
	const u8 *end = line->value + line->value_size, *stop = line->stop;
	f64 value;

	if (line->kind == SET)
		return 1;
	if (!number(line->value, stop, &line->first))
		return 0;
	while (stop < end) {
		const u8 *at = stop + 1;

		stop = until(at, end, ':');
		if (!number(at, stop, &value))
			return 0;
	}
	return 1;
}

/* Add one value of a line, which is written at `at`. */
static void sample(struct key *key, const struct line *line, const u8 *at, f64 value)
{
	f64 weight = line->rate < 1 && (line->kind == COUNTER || line->kind == TIMER) ? 1 / line->rate : 1;

	if (line->kind == GAUGE && (*at == '+' || *at == '-'))
		value += key->last;
	add(key, value, weight);
	if (line->kind == TIMER) {
		u64 bits;

		__builtin_memcpy(&bits, &value, 8);
		put(key, bits >> 46, weight); /* 64 cells from one power of two to the next */
	} else if (line->kind == SET)
		put(key, hash(~0ULL, at, line->value_size), 1);
}

/* Return whether it is an event or a service check of DogStatsD. */
static int other(const u8 *at, const u8 *end)
{
	if (*at != '_' || end - at < 4)
		return 0;
	if (at[1] == 'e' && at[2] == '{')
		return report.events++, 1;
	if (at[1] == 's' && at[2] == 'c' && at[3] == '|')
		return report.checks++, 1;
	return 0;
}

static void take(u32 source, const u8 *at, const u8 *end)
{
	struct line line = {.tags = at, .rate = 1};

	report.lines++;
	if (other(at, end))
		return;
	if (!split(&line, at, end) || !numbers(&line)) {
		report.malformed++;
		remember(&report.malformed_sample, at, end);
		return;
	}
	struct key *key = find(source, line.name, line.name_size, line.tags, line.tags_size, line.kind);
	if (!key) {
		report.keyless++;
		return;
	}
	if (key->kind != line.kind) {
		report.changed++;
		remember(&report.changed_sample, at, end);
		return;
	}
	const u8 *last = line.value + line.value_size, *stop = line.stop;
	sample(key, &line, line.value, line.first);
	while (line.kind != SET && stop < last) {
		const u8 *from = stop + 1;
		f64 value = 0;

		stop = until(from, last, ':');
		number(from, stop, &value);
		sample(key, &line, from, value);
	}
}

static void lines(u32 source, const u8 *at, const u8 *end)
{
	while (at < end) {
		const u8 *stop = until(at, end, '\n'), *last = stop > at && stop[-1] == '\r' ? stop - 1 : stop;

		if (last > at)
			take(source, at, last);
		at = stop + 1;
	}
}

EXPORT(feed) u32 feed(u32 source, u32 size, u32 unused)
{
	lines(source, input, input + (size < INPUT_BYTES ? size : INPUT_BYTES));
	return 0;
}

EXPORT(receive) u32 receive(u32 source, u32 count, u32 unused)
{
	for (u32 i = 0; i < count && i < PACKETS; i++) {
		const u8 *at = packets[i], *end = at + (headers[i].size < PACKET_ROOM ? headers[i].size : PACKET_ROOM);

		if (headers[i].flags & TRUNCATED) { /* its last line may look complete and be cut off */
			const u8 *whole = end;

			while (whole > at && whole[-1] != '\n')
				whole--;
			report.lines++;
			report.malformed++;
			remember(&report.malformed_sample, whole, end);
			end = whole;
		}
		report.packets++;
		lines(source, at, end);
	}
	return 0;
}

static void forget(u32 idle)
{
	u32 kept = 0, text = 0;

	for (u32 i = 0; i < report.keys; i++) {
		struct key *key = &keys[i];
		u32 size = key->name_size + key->tags_size;

		if (key->idle >= idle)
			continue;
		__builtin_memmove(texts + text, texts + key->text, size);
		key->text = text;
		text += size;
		keys[kept++] = *key;
	}
	if (kept == report.keys)
		return;
	report.keys = kept;
	report.texts = text;
	__builtin_memset(key_slots, 0, sizeof(key_slots));
	for (u32 i = 0; i < kept; i++) {
		u32 slot = keys[i].hash % KEY_SLOTS;

		while (key_slots[slot])
			slot = (slot + 1) % KEY_SLOTS;
		key_slots[slot] = i + 1;
	}
}

EXPORT(turn) u32 turn(u32 idle, u32 unused, u32 unused2)
{
	for (u32 i = 0; i < report.cells; i++)
		cell_slots[cells[i].slot] = 0;
	report.cells = 0;
	for (u32 i = 0; i < report.keys; i++) {
		struct key *key = &keys[i];

		key->idle = key->samples ? 0 : key->idle + 1;
		key->samples = 0;
		key->count = key->sum = key->min = key->max = 0;
	}
	forget(idle);
	report.lines = report.packets = report.malformed = report.changed = report.keyless = report.crowded = 0;
	report.events = report.checks = 0;
	report.malformed_sample.size = report.changed_sample.size = 0;
	return report.keys;
}

EXPORT(place) u32 place(u32 what, u32 unused, u32 unused2)
{
	const void *places[] = {input, packets, headers, keys, cells, texts, &report};

	return what < sizeof(places) / sizeof(*places) ? (u32)places[what] : 0;
}

#pragma clang attribute pop
