import { describe, expect, it } from 'vitest';
import { changed, fieldOf } from './settings';

const setting = (name: string, type: string, value: number | boolean | string) => ({
  name,
  type,
  default: value,
  description: '',
  values: {},
});

it('chooses the field by the type', () =>
  expect(['bool', 'enum', 'uint', 'chars', 'uint[4]'].map((type) => fieldOf(setting('x', type, 0)))).toEqual([
    'switch',
    'choice',
    'number',
    'text',
    'json',
  ]));

describe('changed', () => {
  const settings = [setting('pid', 'uint', 0), setting('all', 'bool', true), setting('comm', 'chars', '')];
  it('leaves defaults and empty fields out', () =>
    expect(changed(settings, { pid: 0, all: true, comm: '' })).toEqual({}));
  it('keeps what differs, also false and zero', () =>
    expect(changed(settings, { pid: 7, all: false, comm: 'sh' })).toEqual({ pid: 7, all: false, comm: 'sh' }));
});
