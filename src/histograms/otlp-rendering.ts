// Sends recordings to a collector.
import { hostname } from 'node:os';
import { OtlpExporter } from '../otlp/exporter.js';
import { otlpMetrics } from '../otlp/recordings.js';
import { otlpUrl } from '../otlp/target.js';
import type { Rendering } from './rendering.js';

/** Maximum number of histograms per message: a collector accepts 4 MiB by default. */
const MAX_BATCH = 1000;
const CLOSE_MS = 15_000;

export function otlpRendering(target: string, delta: boolean): Rendering {
  const url = otlpUrl(target, 'metrics');
  const resource = {
    name: process.env.OTEL_SERVICE_NAME ?? 'sluice',
    attributes: { 'host.name': hostname() },
  };
  const exporter = new OtlpExporter({
    url,
    attempts: 3,
    onTrouble: (trouble) =>
      process.stderr.write(`sluice histograms: ${url.origin}: ${trouble ?? 'the collector takes it again'}\n`),
  });
  return {
    async next(recording) {
      const { histograms } = recording;
      for (let from = 0; from < histograms.length; from += MAX_BATCH)
        exporter.offer(
          otlpMetrics({ ...recording, histograms: histograms.slice(from, from + MAX_BATCH) }, resource, delta),
        );
      // Totals are sent once. An interval must not delay the next one.
      if (!delta) await exporter.idle();
      return '';
    },
    async end() {
      await exporter.close(CLOSE_MS);
      const { sent, dropped, rejected } = exporter.counts;
      if (dropped > 0)
        process.stderr.write(
          `sluice histograms: ${dropped} of ${sent + dropped} messages did not reach the collector at ${url.origin}\n`,
        );
      return dropped === 0 && rejected === 0;
    },
  };
}
