// How many services and endpoints the tables of the main thread and of every worker have room for. Columns of these lengths are
// address space: a page of one is paid for when a slot in it is first written. Metrics have their own, smaller bounds
// (src/metrics/layout.ts), because a series costs kilobytes where a slot costs bytes.

/** Slots assigned by the main thread. Slot 0 of each table is unused, so that a zeroed cell names nobody. */
export const MAX_SERVICES = 8192;
export const MAX_ENDPOINTS = 65_536;

/** Slots above those, which each worker assigns itself to clients that go to their original destination. */
export const LOCAL_DESTINATIONS = 16_384;
/** How many of them are used by default. */
export const DEFAULT_DESTINATIONS = 4096;

/** Longest name that a listener adds in Via, bytes. */
export const MAX_PSEUDONYM = 64;

/** Lengths of a worker's columns. The worker's own slots are MAX_SERVICES + i and MAX_ENDPOINTS + i. */
export const SERVICE_SLOTS = MAX_SERVICES + LOCAL_DESTINATIONS;
export const ENDPOINT_SLOTS = MAX_ENDPOINTS + LOCAL_DESTINATIONS;
