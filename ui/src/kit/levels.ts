/** The levels of messages: their names, and how they are drawn. */
export const LEVELS: Record<number, string> = {
  1: 'stdout',
  2: 'stderr',
  3: 'public',
  4: 'operator',
  5: 'log',
  6: 'structured',
  7: 'warning',
  8: 'ops error',
  9: 'critical',
  10: 'statsd',
  11: 'debug',
  20: 'JSON',
  21: 'YAML',
  22: 'TOML',
  23: 'HRD',
  30: 'job',
};

export type Tone = 'error' | 'warning' | 'quiet' | 'plain';

export function toneOf(level: number): Tone {
  if (level === 8 || level === 9) return 'error';
  if (level === 7 || level === 2) return 'warning';
  return level === 11 || level === 10 ? 'quiet' : 'plain';
}

export function levelName(level: number): string {
  return LEVELS[level] ?? String(level);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is to be shown
const COLOUR = /\u001b\[[\d;]*m/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is to be shown
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Return the text of a message for the screen: control characters are shown, not obeyed. */
export function shown(text: string): string {
  const escaped = (letter: string) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return text.replace(COLOUR, '').replace(CONTROL, escaped);
}
