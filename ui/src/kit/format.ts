/** Numbers and times as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Return a duration in seconds in its largest two units at most. */
export function duration(seconds: number): string {
  const s = Math.abs(seconds);
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

/** Return how long ago a time was, or how soon it will be, in words; both in seconds since the epoch. */
export function ago(time: number, now: number): string {
  const past = now - time;
  if (Math.abs(past) < 1.5) return 'now';
  const seconds = Math.round(Math.abs(past));
  const whole = seconds < 60 ? `${seconds} s` : duration(seconds);
  return past > 0 ? `${whole} ago` : `in ${whole}`;
}

/** Return a time in seconds since the epoch as local date and time. */
export function moment(time: number): string {
  const date = new Date(time * 1000);
  const pad = (value: number, width = 2) => String(value).padStart(width, '0');
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(time)}`;
}

/** Return the time of day of a time in seconds since the epoch; with `digits`, parts of a second too. */
export function clock(time: number, digits = 0): string {
  const date = new Date(time * 1000);
  const pad = (value: number, width = 2) => String(value).padStart(width, '0');
  const whole = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return digits ? `${whole}.${pad(date.getMilliseconds(), 3).slice(0, digits)}` : whole;
}

const THOUSANDS = /\B(?=(\d{3})+$)/g;

/** Return a number with commas. `toLocaleString` does the same, and takes 10 ms the first time. */
export function count(value: number): string {
  return Number.isSafeInteger(value) ? String(value).replace(THOUSANDS, ',') : value.toLocaleString('en-US');
}

/** Return "1 node" or "3 nodes". */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Return a number in few characters: 1.2k, 3.4M. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (Number.isInteger(value)) return count(value);
  return size >= 100 ? value.toFixed(0) : size >= 1 ? value.toFixed(2) : value.toPrecision(2);
}
