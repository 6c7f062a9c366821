/** The columns of an answer, and whether it can be drawn over time. */
import type { Shapes } from '../kit/api';
import { cell } from './cell';

type Column = Shapes['AnswerColumn'];

const NUMBER = /^(Nullable\()?(U?Int|Float|Decimal)/;
const TIME = /DateTime/;
const LETTER_PX = 8.5;

function columns(all: readonly Column[]): { title: string; index: number; width: number; number: boolean }[] {
  return all.map((column, index) => ({
    title: column.name,
    index,
    number: NUMBER.test(column.type),
    width: Math.max(
      TIME.test(column.type) ? 235 : NUMBER.test(column.type) ? 90 : 150,
      column.name.length * LETTER_PX + 32,
    ),
  }));
}

/** Return whether an answer has a time and numbers. */
function isOverTime(answer: Pick<Shapes['Answer'], 'columns'>): boolean {
  return [TIME, NUMBER].every((kind) => answer.columns.some((column) => kind.test(column.type)));
}

/** Return rows (time, name, value) of an answer with a time and numbers; undefined when it has none. */
function overTime(answer: Pick<Shapes['Answer'], 'columns' | 'rows'>): unknown[][] | undefined {
  const time = answer.columns.findIndex((column) => TIME.test(column.type));
  const numbers = answer.columns
    .map((_, index) => index)
    .filter((index) => NUMBER.test(answer.columns[index]?.type ?? ''));
  const names = answer.columns.map((_, index) => index).filter((index) => index !== time && !numbers.includes(index));
  if (!isOverTime(answer)) return undefined;
  return answer.rows.flatMap((row) =>
    numbers.map((index) => {
      const group = names.map((name) => String(row[name])).join(' ');
      const column = answer.columns[index]?.name ?? '';
      return [row[time], group && numbers.length > 1 ? `${group} ${column}` : group || column, row[index]];
    }),
  );
}

/**
 * Return a comparison of rows, by their places, by a column: numbers by value, texts as people read them, "order 9" before
 * "order 10". The first comparison orders all rows; each other one costs nothing.
 */
function comparison(rows: readonly unknown[][], index: number): (a: number, b: number) => number {
  let ranks: Int32Array | undefined;
  return (a, b) => {
    ranks ??= ranksOf(rows.map((row) => keyOf(row[index])));
    return (ranks[a] ?? 0) - (ranks[b] ?? 0);
  };
}

/** Return the place of each key in their order; equal keys have the same. */
function ranksOf(keys: (number | string)[]): Int32Array {
  const places = keys.map((_, place) => place).sort((a, b) => order(keys[a] ?? '', keys[b] ?? ''));
  const ranks = new Int32Array(keys.length);
  let rank = 0;
  places.forEach((place, at) => {
    const before = places[at - 1];
    if (before !== undefined && keys[before] !== keys[place]) rank += 1;
    ranks[place] = rank;
  });
  return ranks;
}

function order(one: number | string, other: number | string): number {
  if (typeof one !== typeof other) return typeof one === 'number' ? -1 : 1;
  return one < other ? -1 : one > other ? 1 : 0;
}

const DIGITS = /\d+/g;
const LONGEST_NUMBER = 20;

/** Return what compares like a value; a comparison of two texts with a collator takes as long as a hundred of these. */
function keyOf(value: unknown): number | string {
  if (typeof value === 'number') return value;
  return cell(value)
    .toLowerCase()
    .replace(DIGITS, (digits) => digits.padStart(LONGEST_NUMBER, '0'));
}

export const Answer = { columns, isOverTime, overTime, comparison };
