/**
 * The `default` of a switch over all kinds: if a case is missing, it does not compile. Columns of kinds hold numbers, so the switch is over
 * `column[slot] as Kind`.
 */
export function unreachable(kind: never): never {
  throw new Error(`unknown kind ${kind}: a table of the worker is corrupt`);
}
