/** What the palette finds, and in which order. */
export interface Target {
  noun: string;
  name: string;
  to: string;
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
