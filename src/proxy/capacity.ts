// How many slots the tables of a worker have.
import { MAX_ENDPOINTS, MAX_SERVICES } from '../metrics/layout.js';

export { MAX_ENDPOINTS, MAX_SERVICES };

/** Slots above those, which each worker gives out by itself to clients that go where they were going. */
export const LOCAL_DESTINATIONS = 1024;

/** Lengths of a worker's columns. The worker's own slots are MAX_SERVICES + i and MAX_ENDPOINTS + i. */
export const SERVICE_SLOTS = MAX_SERVICES + LOCAL_DESTINATIONS;
export const ENDPOINT_SLOTS = MAX_ENDPOINTS + LOCAL_DESTINATIONS;
