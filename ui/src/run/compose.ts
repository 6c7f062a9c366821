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
  /** Arguments of the command that the form does not show, and what else it was asked with. */
  others: Record<string, unknown>;
  more: Pick<Shapes['CreateCommand'], 'data' | 'expires_s'>;
}

export const EMPTY: Form = {
  kind: 'execute',
  text: '',
  nodes: '',
  any: false,
  maxTime: null,
  user: '',
  workingdir: '',
  others: {},
  more: {},
};

/** Arguments that the form shows. */
const SHOWN = ['script', 'sha256', 'max_time', 'user', 'workingdir'];

/** Return the request of a form; throw an error that says what is missing. */
export function requestOf(form: Form): Shapes['CreateCommand'] {
  if (!form.text.trim())
    throw new Error(form.kind === 'execute' ? 'Write a program with its arguments.' : 'Write a script.');
  const settings = {
    ...form.others,
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
    ...form.more,
  };
}

type Earlier = Pick<Shapes['CreateCommand'], 'cmd' | 'args' | 'selector' | 'any' | 'data' | 'expires_s'>;

/**
 * Return the form of a command that was run or scheduled before, or undefined for one that the page cannot compose.
 * `source` is that of its script. What the form does not show stays as it was.
 */
export function formOf(command: Earlier, source?: string): Form | undefined {
  if (!(command.cmd in KINDS)) return undefined;
  const args: Record<string, unknown> = command.args ?? {};
  const program = command.cmd === 'execute';
  const list = Array.isArray(args.args) ? args.args.map(String) : [];
  const script = source ?? args.script;
  if (!program && typeof script !== 'string') return undefined;
  const text = program ? quoted([String(args.cmd ?? ''), ...list]) : String(script);
  const shown = program ? [...SHOWN, 'cmd', 'args'] : SHOWN;
  return {
    ...EMPTY,
    kind: command.cmd as Kind,
    text,
    nodes: writeSelector(command.selector),
    maxTime: typeof args.max_time === 'number' && args.max_time > 0 ? args.max_time : null,
    user: String(args.user ?? ''),
    workingdir: String(args.workingdir ?? ''),
    any: command.any === true,
    others: Object.fromEntries(Object.entries(args).filter(([name]) => !shown.includes(name))),
    more: {
      ...(command.data ? { data: command.data } : {}),
      ...(command.expires_s == null ? {} : { expires_s: command.expires_s }),
    },
  };
}
