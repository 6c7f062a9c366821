/** Dark or light: as the system has it, until somebody chooses. */
import { useSyncExternalStore } from 'react';
import { Signal } from '../kit/signal';

export type Choice = 'system' | 'light' | 'dark';
const KEY = 'quarterdeck.theme';
const system = window.matchMedia('(prefers-color-scheme: dark)');
const changed = new Signal();
system.addEventListener('change', changed.fire);

function chosen(): Choice {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

export function choose(choice: Choice): void {
  localStorage.setItem(KEY, choice);
  changed.fire();
}

/** Return whether the page is dark. */
export function useDark(): boolean {
  return useSyncExternalStore(changed.subscribe, () => (chosen() === 'system' ? system.matches : chosen() === 'dark'));
}
