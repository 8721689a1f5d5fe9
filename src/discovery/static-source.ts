// Addresses in the configuration: known at once and constant.
import type { EndpointSource } from '../config/model.js';
import { endpointAt } from './endpoint.js';
import type { Report, Source, Watch, WatchSpec } from './source.js';

type Static = Extract<EndpointSource, { kind: 'static' }>;

const NOTHING_TO_STOP: Watch = { stop: () => undefined };

export class StaticSource implements Source<Static> {
  watch({ source }: WatchSpec<Static>, report: Report): Watch {
    report({ kind: 'endpoints', endpoints: [endpointAt(source.address)] });
    return NOTHING_TO_STOP;
  }
}
