/** Something outside of React that changes, for `useSyncExternalStore`. */
export class Signal {
  readonly #waiting = new Set<() => void>();

  readonly subscribe = (wake: () => void): (() => void) => {
    this.#waiting.add(wake);
    return () => {
      this.#waiting.delete(wake);
    };
  };

  readonly fire = (): void => {
    for (const wake of this.#waiting) wake();
  };
}
