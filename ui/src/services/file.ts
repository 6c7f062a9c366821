/** Services as the JSON that the editor shows: what `PUT /services` takes. */
import type { Shapes } from '../kit/api';

type Service = Shapes['Service'];
export interface File {
  group?: string;
  services: Service[];
}

export const EXAMPLE: File = {
  services: [
    {
      name: 'hello',
      command: ['/bin/sh', '-c', 'while true; do echo hello; sleep 10; done'],
      selector: { labels: { role: 'web' } },
    },
  ],
};

/** Return the text of a file. */
export function writeFile(file: File): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Return the file of a text; throw an error that says what is wrong. The server checks the rest. */
export function readFile(source: string): File {
  let read: unknown;
  try {
    read = JSON.parse(source);
  } catch (error) {
    throw new Error(`This is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const { services, ...rest } = (typeof read === 'object' && read !== null ? read : {}) as Partial<File>;
  if (!Array.isArray(services)) throw new Error('Expected an object with the list "services".');
  const unknown = Object.keys(rest).filter((key) => key !== 'group');
  if (unknown.length) throw new Error(`"${unknown[0]}" is not known here: a file has "group" and "services".`);
  return { ...(rest.group ? { group: rest.group } : {}), services };
}
