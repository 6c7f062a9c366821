import { expect, it } from 'vitest';
import { joinLine } from './join';

it('names an address that the new host can reach', () => {
  expect(joinLine('T', '0.0.0.0:8421', 'deck')).toBe('qd agent --server deck:8421 --token T');
  expect(joinLine('T', '[::]:8421', 'deck')).toBe('qd agent --server deck:8421 --token T');
  expect(joinLine('T', '10.0.0.1:8421', 'deck')).toBe('qd agent --server 10.0.0.1:8421 --token T');
});
