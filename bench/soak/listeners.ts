// The listeners of the proxy under the soak.

/**
 * Each has a service of the same name. What is rough is also aborted, by clients and by endpoints; the endpoints of what is rolling
 * restart one after the other.
 */
export const LISTENERS = [
  'web',
  'clean',
  'rough',
  'h2',
  'h2-rough',
  'grpc',
  'grpc-rough',
  'rolling',
  'rolling-h2',
] as const;
export type Listener = (typeof LISTENERS)[number];
