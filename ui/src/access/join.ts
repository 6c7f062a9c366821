/** Return the command that joins a host; a server that listens on every address is reached as the browser reaches it. */
export function joinLine(token: string, link: string, host: string): string {
  const reached = link.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, host);
  return `qd agent --server ${reached} --token ${token}`;
}
