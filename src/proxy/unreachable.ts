/**
 * The `default` of a switch that has a case for each kind: with one left out it does not compile. Columns of kinds hold numbers, so the
 * switch is over `column[slot] as Kind`.
 */
export function unreachable(kind: never): never {
  throw new Error(`there is no kind ${kind}: a table of the worker is broken`);
}
