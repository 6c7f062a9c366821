import { expect, it } from 'vitest';
import { name, text } from './sql';

it('quotes what ends a literal', () => {
  expect(text("it's \\ here")).toBe("'it\\'s \\\\ here'");
  expect(name('a"b')).toBe('"a\\"b"');
});
