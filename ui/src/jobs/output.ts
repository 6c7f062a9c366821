/** The live output of a command: the messages of all of its nodes in the order of their arrival, and its jobs. */
import type { EventSourceMessage } from 'eventsource-parser';
import { useRef, useState } from 'react';
import type { Shapes } from '../kit/api';
import { Backlog, type Message, type NumberedMessage } from '../kit/backlog';
import { useLive } from '../kit/live';

export type Job = Shapes['Job'];

/** Only so many messages are kept in the page; the log has all. */
export const KEPT = 50_000;

export interface Output {
  messages: NumberedMessage[];
  jobs: Map<string, Job>;
  dropped: number;
  /** Why messages may be missing. */
  problems: Set<string>;
}

const NONE: Output = { messages: [], jobs: new Map(), dropped: 0, problems: new Set() };

/** Return the output with these events added, and their messages in `backlog`. */
export function withEvents(
  output: Output,
  events: Pick<EventSourceMessage, 'event' | 'data'>[],
  backlog: Backlog,
): Output {
  const added: Message[] = [];
  const jobs = new Map(output.jobs);
  const problems = new Set(output.problems);
  for (const event of events) {
    if (event.event === 'job') {
      const job = JSON.parse(event.data) as Job;
      jobs.set(job.node_name, job);
    } else if (event.event === 'messages') {
      const page = JSON.parse(event.data) as NodeMessages;
      for (const problem of page.problems ?? []) problems.add(`${page.node_name}: ${problem}`);
      for (const message of messagesOf(page)) added.push(message);
    }
  }
  backlog.append(added, KEPT);
  return { messages: backlog.messages, jobs, dropped: backlog.left, problems };
}

/** Messages of one node, as the stream of a command's output has them. */
interface NodeMessages {
  gid: number;
  nid: number;
  node_name: string;
  messages?: Omit<Message, 'gid' | 'nid' | 'node'>[];
  problems?: string[];
}

function messagesOf({ gid, nid, node_name, messages = [] }: NodeMessages): Message[] {
  return messages.map((message) => ({ ...message, gid, nid, node: node_name }));
}

/** Follow the output of a command; a component shows that of one command only. */
export function useOutput(command: string) {
  const [output, setOutput] = useState(NONE);
  const [backlog] = useState(() => new Backlog());
  // a browser is not a reason to slow a program down
  const url = `/api/v1/commands/${encodeURIComponent(command)}/output?paced=false`;
  const latest = useRef(NONE);
  const live = useLive(url, (events) => {
    latest.current = withEvents(latest.current, events, backlog);
    setOutput(latest.current);
  });
  return { ...output, live };
}
