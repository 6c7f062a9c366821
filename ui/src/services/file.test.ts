import { describe, expect, it } from 'vitest';
import { EXAMPLE, readFile, writeFile } from './file';

describe('readFile', () => {
  it('reads what writeFile writes', () => {
    const file = { group: 'shop', ...EXAMPLE };
    expect(readFile(writeFile(file))).toEqual(file);
  });
  it('says what is wrong', () => {
    expect(() => readFile('{')).toThrow('not JSON');
    expect(() => readFile('[]')).toThrow('the list "services"');
    expect(() => readFile('{"services": [], "grup": 1}')).toThrow('"grup" is not known');
  });
});
