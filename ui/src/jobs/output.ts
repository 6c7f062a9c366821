/** The live output of a command: the messages of all of its nodes in the order of their arrival, and its jobs. */
import type { EventSourceMessage } from 'eventsource-parser';
import { useRef, useState } from 'react';
import type { Shapes } from '../kit/api';
import { useLive } from '../kit/live';

export type Message = Shapes['NodeMessage'];
export type Job = Shapes['Job'];

/** Only so many messages are kept in the page; the log has all. */
export const KEPT = 50_000;

export interface Output {
  messages: Message[];
  jobs: Map<string, Job>;
  dropped: number;
  /** Why messages may be missing. */
  problems: Set<string>;
}

const NONE: Output = { messages: [], jobs: new Map(), dropped: 0, problems: new Set() };

/** Return the output with these events added. A message that was received before is not added again. */
export function withEvents(
  output: Output,
  events: Pick<EventSourceMessage, 'event' | 'data'>[],
  seen: Set<string>,
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
      for (const message of messagesOf(page)) {
        const key = `${message.gid}/${message.nid} ${message.epoch} ${message.id}`;
        if (seen.has(key)) continue;
        seen.add(key);
        added.push(message);
      }
    }
  }
  const all = added.length ? [...output.messages, ...added] : output.messages;
  const over = Math.max(0, all.length - KEPT);
  return { messages: over ? all.slice(over) : all, jobs, dropped: output.dropped + over, problems };
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
  const seen = useRef(new Set<string>());
  // a browser is not a reason to slow a program down
  const url = `/api/v1/commands/${encodeURIComponent(command)}/output?paced=false`;
  const latest = useRef(NONE);
  const live = useLive(url, (events) => {
    latest.current = withEvents(latest.current, events, seen.current);
    setOutput(latest.current);
  });
  return { ...output, live };
}
