// What Piscina loads in a worker's thread: sets V8's flags, and loads the data path with what V8 has made of it before.
import { runCached } from '../src/code/cached-script.js';
import { keepCode } from '../src/code/compiler.js';
import { SERVING_FILE } from '../src/code/serving-file.js';
import { native } from '../src/io/native.js';

keepCode();
export const { serve } = runCached<typeof import('./serving.js')>(SERVING_FILE, native()).exports;
