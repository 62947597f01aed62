/** "Did you mean …?" for mistyped names of flags, variables, keys and commands. */

/** ` — did you mean <prefix><name>?` for the closest of `names` to `typed`, or nothing when none is close. */
export function suggestion(typed: string, names: readonly string[], prefix = ""): string {
  const limit = typed.length < 5 ? 1 : typed.length < 10 ? 2 : 3;
  const [best] = names
    .map((name) => ({ name, distance: editDistance(typed, name) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return best === undefined ? "" : ` — did you mean ${prefix}${best.name}?`;
}

/** Levenshtein distance: the least number of characters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
