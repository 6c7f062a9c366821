/** What the palette finds, and in which order. */
import { lineOf } from '../jobs/command';
import type { Shapes } from '../kit/api';
import { writeSelector } from '../kit/selector';

export interface Target {
  noun: string;
  name: string;
  to: string;
  /** What tells it from others of the same name. */
  detail?: string;
  search?: Record<string, string>;
}

/** Return the targets of commands, the newest first: what each is, its id, and where it ran. */
export function ofCommands(commands: Shapes['Command'][]): Target[] {
  return commands.map((command) => ({
    noun: 'command',
    name: lineOf(command),
    detail: `${command.id}, on ${writeSelector(command.selector) || 'every node'}`,
    to: `/jobs/${encodeURIComponent(command.id)}`,
  }));
}

/** Return the targets whose name contains the text, case aside: those that begin with it first, then shorter ones. */
export function rank(targets: Target[], text: string): Target[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return targets;
  const score = (target: Target) => {
    const at = target.name.toLowerCase().indexOf(wanted);
    return at < 0 ? -1 : (at === 0 ? 0 : 1000) + target.name.length;
  };
  return targets
    .map((target) => ({ target, score: score(target) }))
    .filter((each) => each.score >= 0)
    .sort((a, b) => a.score - b.score)
    .map((each) => each.target);
}
