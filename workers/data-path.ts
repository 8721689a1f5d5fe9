// What Piscina loads in a worker's thread: sets V8's flags, and loads the data path with what V8 has made of it before.
import { runWithCache } from '../src/code/cached-script.js';
import { configureCompiler } from '../src/code/compiler.js';
import { SERVING_BUNDLE } from '../src/code/serving-bundle.js';
import { native } from '../src/io/native.js';

configureCompiler();
export const { serve } = runWithCache<typeof import('./serving.js')>(SERVING_BUNDLE, native()).exports;
