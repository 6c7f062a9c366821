/** A command as one line that people recognise, and the states of its jobs. */
import type { Shapes } from '../kit/api';
import type { Choice } from '../kit/filter';

export const FAILED_STATES = ['ERROR', 'TIMEOUT', 'KILLED', 'UNKNOWN_CMD', 'REFUSED', 'EXPIRED', 'LOST'] as const;
export const OPEN_STATES = ['QUEUED', 'ACCEPTED', 'RUNNING'] as const;

export function isFailed(state: string): boolean {
  return (FAILED_STATES as readonly string[]).includes(state);
}

export function isOpen(state: string): boolean {
  return (OPEN_STATES as readonly string[]).includes(state);
}

/** Return the words as a shell would read them. */
export function quoted(words: string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** The commands that run a script, and what people call them. */
export const SCRIPTS = {
  execute_sh: 'Shell script',
  execute_js_py: 'Python script',
  execute_js_lua: 'Lua script',
} as const;

/** Return the hash of the script that a command runs, or "" for one that runs none. */
export function scriptOf(command: { cmd: string; args?: Record<string, unknown> } | undefined): string {
  const sha256 = command && command.cmd in SCRIPTS ? command.args?.sha256 : '';
  return typeof sha256 === 'string' ? sha256 : '';
}

/** Return a command as one line: a program with its arguments, a script by its first line, others by their name. */
export function lineOf(command: { cmd: string; args?: Record<string, unknown> }): string {
  const args = command.args ?? {};
  const words = Array.isArray(args.args) ? args.args.map(String) : [];
  if (command.cmd === 'execute') return quoted([String(args.cmd ?? ''), ...words]);
  const kind = SCRIPTS[command.cmd as keyof typeof SCRIPTS] ?? command.cmd;
  if (typeof args.script === 'string') {
    const first = args.script.split('\n').find((line) => line.trim() && !line.startsWith('#!')) ?? '';
    return `${kind}: ${first.trim()}`;
  }
  if (typeof args.sha256 === 'string') return `${kind} ${args.name || args.sha256.slice(0, 12)}`;
  const rest = Object.entries(args).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [command.cmd, ...rest].join(' ');
}

/** Split a line into words as a shell does, with quotes and backslashes; throw for a quote that does not end. */
export function words(line: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const letter = line[at] as string;
    if (quote) {
      if (letter === quote) quote = '';
      else if (letter === '\\' && quote === '"' && '"\\$`'.includes(line[at + 1] ?? ' ')) word += line[++at] as string;
      else word += letter;
    } else if (letter === '"' || letter === "'") {
      quote = letter;
      word ??= '';
    } else if (letter === '\\' && at + 1 < line.length) word = (word ?? '') + line[++at];
    else if (/\s/.test(letter)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? '') + letter;
  }
  if (quote) throw new Error(`The quote ${quote} does not end.`);
  return word === undefined ? found : [...found, word];
}

export type JobRow = Shapes['Job'] & { line: string; actor: string };

/** Return the jobs with their command's line and who asked for it. */
export function jobRows(jobs: Shapes['Job'][], commands: Shapes['Command'][]): JobRow[] {
  const byId = new Map(commands.map((command) => [command.id, command]));
  return jobs.map((job) => {
    const command = byId.get(job.id);
    return { ...job, line: command ? lineOf(command) : job.cmd, actor: command?.actor ?? '' };
  });
}

/** The choices of a list of jobs, those of several states first. */
export const JOB_CHOICES: Choice<JobRow>[] = [
  { value: 'failed', label: 'Failed', matches: ({ state }) => isFailed(state), none: 'No job has failed.' },
  { value: 'open', label: 'Not over', matches: ({ state }) => isOpen(state), none: 'Every job is over.' },
  ...['OK', ...OPEN_STATES, ...FAILED_STATES].map((value) => ({
    value,
    matches: ({ state }: JobRow) => state === value,
  })),
];
