/** The messages that a page keeps, in the order in which they came: each once, and a bounded number of them. */
import type { Shapes } from './api';

export type Message = Shapes['NodeMessage'];

/** What the page keeps of a message, with its number in the page, which stays the same while others come and leave. */
export interface NumberedMessage
  extends Pick<Message, 'id' | 'gid' | 'nid' | 'node' | 'epoch' | 'level' | 'domain' | 'name' | 'job_id' | 'data'> {
  number: number;
}

export class Backlog {
  messages: NumberedMessage[] = [];
  /** How many of the oldest messages have left. */
  left = 0;
  /** The ids of those that are here, for each node, which counts them. */
  readonly #seen = new Map<string, Set<number>>();
  /** One copy of each text that many messages share: a hundred thousand copies take tens of MB. */
  readonly #texts = new Map<string, string>();

  /** Add newer messages, except those that are here; the oldest leave when there are more than `most`. */
  append(newer: readonly Message[], most: number): void {
    const next = (this.messages.at(-1)?.number ?? 0) + 1;
    const added = newer
      .filter((message) => this.#see(message))
      .map((message, index) => this.#kept(message, next + index));
    if (!added.length) return;
    const all = [...this.messages, ...added];
    const over = Math.max(0, all.length - most);
    for (const message of all.slice(0, over)) this.#idsOf(message).delete(message.id);
    this.messages = over ? all.slice(over) : all;
    this.left += over;
  }

  /** Put older messages in front, except those that are here; they are in their order. */
  prepend(older: readonly Message[]): void {
    const unseen = older.filter((message) => this.#see(message));
    const first = (this.messages[0]?.number ?? 1) - unseen.length;
    this.messages = [...unseen.map((message, index) => this.#kept(message, first + index)), ...this.messages];
  }

  /** Return whether a message is new, and remember it. */
  #see(message: Message): boolean {
    const ids = this.#idsOf(message);
    const unseen = !ids.has(message.id);
    if (unseen) ids.add(message.id);
    return unseen;
  }

  #idsOf({ gid, nid }: Pick<Message, 'gid' | 'nid'>): Set<number> {
    const node = `${gid}/${nid}`;
    let ids = this.#seen.get(node);
    if (!ids) {
      ids = new Set();
      this.#seen.set(node, ids);
    }
    return ids;
  }

  #kept({ id, gid, nid, node, epoch, level, domain, name, job_id, data }: Message, number: number): NumberedMessage {
    const shared = { node: this.#shared(node), domain: this.#shared(domain), name: this.#shared(name) };
    return { number, id, gid, nid, epoch, level, ...shared, job_id: this.#shared(job_id), data };
  }

  #shared<T extends string | undefined>(text: T): T {
    if (text === undefined) return text;
    const known = this.#texts.get(text);
    if (known !== undefined) return known as T;
    this.#texts.set(text, text);
    return text;
  }
}
