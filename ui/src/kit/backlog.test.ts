import { describe, expect, it } from 'vitest';
import { Backlog, type Message } from './backlog';

const said = (...ids: number[]) =>
  ids.map((id) => ({ id, gid: 1, nid: 1, epoch: 5, level: 1, data: `${id}` }) as Message);
const ids = (backlog: Backlog) => backlog.messages.map((message) => message.id);

describe('Backlog', () => {
  it('keeps each message once', () => {
    const backlog = new Backlog();
    backlog.append(said(3, 4), 10);
    backlog.append(said(4, 5), 10);
    backlog.prepend(said(2, 3));
    expect(ids(backlog)).toEqual([2, 3, 4, 5]);
    expect(backlog.left).toBe(0);
  });
  it('numbers a message once, whatever comes or leaves', () => {
    const backlog = new Backlog();
    backlog.append(said(3, 4), 10);
    const numbers = () => new Map(backlog.messages.map((message) => [message.id, message.number]));
    const before = numbers();
    backlog.prepend(said(1, 2));
    backlog.append(said(5, 6), 4);
    expect(numbers().get(4)).toBe(before.get(4));
    expect([...numbers().values()]).toEqual([4, 5, 6, 7].map((each) => each - 4 + (numbers().get(3) ?? 0)));
  });
  it('lets the oldest leave, and counts them', () => {
    const backlog = new Backlog();
    backlog.append(said(1, 2, 3), 3);
    backlog.append(said(4, 5), 3);
    expect(ids(backlog)).toEqual([3, 4, 5]);
    expect(backlog.left).toBe(2);
  });
  it('takes a message that has left again', () => {
    const backlog = new Backlog();
    backlog.append(said(1, 2), 1);
    backlog.append(said(1), 2);
    expect(ids(backlog)).toEqual([2, 1]);
  });
  it('changes nothing when nothing is new', () => {
    const backlog = new Backlog();
    backlog.append(said(1), 5);
    const { messages } = backlog;
    backlog.append(said(1), 5);
    expect(backlog.messages).toBe(messages);
  });
});
