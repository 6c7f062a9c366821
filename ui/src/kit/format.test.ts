import { describe, expect, it } from 'vitest';
import { ago, bytes, duration, plural, short } from './format';

describe('format', () => {
  it('writes sizes', () =>
    expect([0, 1023, 1536, 300 * 1024 ** 2].map(bytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '300 MiB']));
  it('writes durations', () =>
    expect([0.0005, 0.25, 3, 59, 61, 5400, 200_000].map(duration)).toEqual([
      '500 µs',
      '250 ms',
      '3.0 s',
      '59 s',
      '1 min',
      '1 h 30 min',
      '2 d',
    ]));
  it('writes the past and the future', () =>
    expect([ago(100, 101), ago(100, 108.2), ago(100, 160), ago(160, 100)]).toEqual([
      'now',
      '8 s ago',
      '1 min ago',
      'in 1 min',
    ]));
  it('counts', () => expect([plural(1, 'node'), plural(2000, 'node')]).toEqual(['1 node', '2,000 nodes']));
  it('shortens', () => expect([12, 12_345, 2_500_000, 0.125].map(short)).toEqual(['12', '12.3k', '2.5M', '0.13']));
});
