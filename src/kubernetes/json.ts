// Typed access to JSON from others: anything unexpected reads as absent.

export type JsonObject = Readonly<Record<string, unknown>>;

const NOTHING: JsonObject = Object.freeze({});
const NONE: readonly unknown[] = Object.freeze([]);

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object in a field, or an empty one. */
export const objectIn = (object: JsonObject, field: string): JsonObject => {
  const value = object[field];
  return isObject(value) ? value : NOTHING;
};

/** The string in a field, or an empty one. */
export const textIn = (object: JsonObject, field: string): string => {
  const value = object[field];
  return typeof value === 'string' ? value : '';
};

/** The objects in a list; other elements are skipped. */
export const objectsIn = (object: JsonObject, field: string): readonly JsonObject[] => {
  const value = object[field];
  if (!Array.isArray(value)) return [];
  return value.every(isObject) ? value : value.filter(isObject);
};

export const textsIn = (object: JsonObject, field: string): readonly string[] => {
  const value = object[field];
  return (Array.isArray(value) ? value : NONE).filter((each): each is string => typeof each === 'string');
};

/** A port number; 0 if there is none. */
export const portIn = (object: JsonObject, field: string): number => {
  const value = object[field];
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536 ? value : 0;
};
