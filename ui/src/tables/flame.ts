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

/** Return the boxes of each depth, from left to right. */
export function layersOf(boxes: Box[]): Box[][] {
  const layers: Box[][] = [];
  for (const box of boxes) {
    const layer = layers[box.depth];
    if (layer) layer.push(box);
    else layers[box.depth] = [box];
  }
  return layers;
}

/** Return the index of the first box of a layer that ends after this weight; its length when none does. */
export function firstAfter(layer: Box[], weight: number): number {
  let low = 0;
  let high = layer.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const box = layer[middle] as Box;
    if (box.at + box.weight > weight) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Return the box of a layer that is at this weight. */
export function boxAt(layer: Box[] | undefined, weight: number): Box | undefined {
  const box = layer?.[firstAfter(layer, weight)];
  return box && box.at <= weight ? box : undefined;
}

/** Return the names from the whole to a box, without the whole. */
export function pathOf(boxes: Box[], box: Box): string[] {
  const path: string[] = [];
  for (let at: Box | undefined = box; at && at.parent >= 0; at = boxes[at.parent]) path.unshift(at.name);
  return path;
}

/** Return the box with this path, or its nearest caller that there is. */
export function boxOf(boxes: Box[], path: string[]): Box | undefined {
  let index = 0;
  for (const name of path) {
    const next = boxes.findIndex((box, place) => place > index && box.parent === index && box.name === name);
    if (next < 0) break;
    index = next;
  }
  return boxes[index];
}
