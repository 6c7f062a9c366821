/** Stacks as the boxes of a flame graph. */
export interface Box {
  name: string;
  depth: number;
  /** Begin and width in the unit of the weights. */
  at: number;
  weight: number;
  parent: number;
}

interface Frame {
  weight: number;
  children: Map<string, Frame>;
}

/** Return the boxes of stacks [frames innermost first, weight]; the first box is the whole, and children are by name. */
export function boxesOf(stacks: [string[], number][]): Box[] {
  const root: Frame = { weight: 0, children: new Map() };
  for (const [frames, weight] of stacks) {
    root.weight += weight;
    let frame = root;
    for (let index = frames.length - 1; index >= 0; index--) {
      const key = frames[index] as string;
      let child = frame.children.get(key);
      if (!child) {
        child = { weight: 0, children: new Map() };
        frame.children.set(key, child);
      }
      child.weight += weight;
      frame = child;
    }
  }
  const boxes: Box[] = [];
  const place = (frame: Frame, name: string, depth: number, at: number, parent: number) => {
    const index = boxes.push({ name, depth, at, weight: frame.weight, parent }) - 1;
    let next = at;
    for (const [key, child] of [...frame.children].sort(([a], [b]) => (a < b ? -1 : 1))) {
      place(child, key, depth + 1, next, index);
      next += child.weight;
    }
  };
  place(root, 'all', 0, 0, -1);
  return boxes;
}
