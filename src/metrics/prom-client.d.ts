// The parts of prom-client that a scrape needs. Its own declarations are of the whole, and leave out the formatter of single metrics.
declare module 'prom-client/lib/registry.js' {
  /** What the formatter asks of a metric. */
  export interface Formattable {
    readonly name: string;
    readonly type: string;
    readonly help: string;
    get(): Promise<{
      readonly name: string;
      readonly type: string;
      readonly help: string;
      readonly values: readonly import('./family.js').Sample[];
    }>;
  }

  // biome-ignore lint/style/noDefaultExport: as prom-client exports it.
  export default class Registry {
    static readonly OPENMETRICS_CONTENT_TYPE: string;
    constructor(contentType?: string);
    readonly contentType: string;
    getMetricsAsArray(): Formattable[];
    getMetricsAsString(metric: Formattable): Promise<string>;
    removeSingleMetric(name: string): void;
  }
}

declare module 'prom-client/lib/defaultMetrics.js' {
  import type Registry from 'prom-client/lib/registry.js';

  // biome-ignore lint/style/noDefaultExport: as prom-client exports it.
  export default function collectDefaultMetrics(options: {
    readonly register: Registry;
    readonly eventLoopMonitoringPrecision: number;
  }): void;
}
