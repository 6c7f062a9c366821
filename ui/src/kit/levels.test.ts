import { describe, expect, it } from 'vitest';
import { levelName, shown, toneOf } from './levels';

describe('shown', () => {
  it('leaves text, tabs and newlines', () => expect(shown('a\tb\né')).toBe('a\tb\né'));
  it('drops colours and shows other control characters', () =>
    expect(shown('\u001b[31mred\u001b[0m\u001b[2J')).toBe('red\\x1b[2J'));
});

it('draws critical messages as errors', () => {
  expect([toneOf(9), toneOf(7), toneOf(1), toneOf(11)]).toEqual(['error', 'warning', 'plain', 'quiet']);
  expect(levelName(25)).toBe('25');
});
