/** A command as the form of the page has it, and as the API takes it. */

import { quoted, SCRIPTS, words } from '../jobs/command';
import type { Shapes } from '../kit/api';
import { parseSelector, writeSelector } from '../kit/selector';

export const KINDS = {
  execute: 'Program',
  ...SCRIPTS,
} as const;
export type Kind = keyof typeof KINDS;

export interface Form {
  kind: Kind;
  /** The line of a program, or the source of a script. */
  text: string;
  nodes: string;
  any: boolean;
  maxTime: number | null;
  user: string;
  workingdir: string;
}

export const EMPTY: Form = {
  kind: 'execute',
  text: '',
  nodes: '',
  any: false,
  maxTime: null,
  user: '',
  workingdir: '',
};

/** Return the request of a form; throw an error that says what is missing. */
export function requestOf(form: Form): Shapes['CreateCommand'] {
  if (!form.text.trim())
    throw new Error(form.kind === 'execute' ? 'Write a program with its arguments.' : 'Write a script.');
  const settings = {
    ...(form.maxTime ? { max_time: form.maxTime } : {}),
    ...(form.user ? { user: form.user } : {}),
    ...(form.workingdir ? { workingdir: form.workingdir } : {}),
  };
  const [cmd = '', ...args] = form.kind === 'execute' ? words(form.text) : [];
  return {
    cmd: form.kind,
    args: form.kind === 'execute' ? { cmd, args, ...settings } : { script: form.text, ...settings },
    selector: parseSelector(form.nodes),
    ...(form.any ? { any: true } : {}),
  };
}

/** Return the form of a command that was run before, or undefined for one that the page cannot compose. */
export function formOf(command: Pick<Shapes['Command'], 'cmd' | 'args' | 'selector'>): Form | undefined {
  if (!(command.cmd in KINDS)) return undefined;
  const args: Record<string, unknown> = command.args ?? {};
  const list = Array.isArray(args.args) ? args.args.map(String) : [];
  if (command.cmd !== 'execute' && typeof args.script !== 'string') return undefined; // only its hash is known
  const text = command.cmd === 'execute' ? quoted([String(args.cmd ?? ''), ...list]) : String(args.script ?? '');
  return {
    ...EMPTY,
    kind: command.cmd as Kind,
    text,
    nodes: writeSelector(command.selector),
    maxTime: typeof args.max_time === 'number' && args.max_time > 0 ? args.max_time : null,
    user: String(args.user ?? ''),
    workingdir: String(args.workingdir ?? ''),
  };
}
