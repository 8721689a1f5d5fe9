import { fileURLToPath } from 'node:url';

/** `workers/serving.ts` and all that it needs in one file, as bundle.mjs makes it. */
export const SERVING_BUNDLE = fileURLToPath(new URL('../chunks/serving.cjs', import.meta.url));
