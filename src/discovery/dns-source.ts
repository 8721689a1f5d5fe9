// DNS names: resolved again when their TTL has expired; the last addresses stay in use while DNS fails.
import type { Address } from '../config/model.js';
import { type Endpoint, endpointAt } from './endpoint.js';
import { DEFAULT_TTL_MS, type DnsName, type EndpointResolver, type Resolution, unique } from './resolver.js';
import type { DiscoveryLogger, Report, Source, Timers, Watch, WatchSpec } from './source.js';
import { nodeTimers } from './source.js';
import { sourceText } from './text.js';

export interface DnsSourceDeps {
  readonly resolver: EndpointResolver;
  readonly logger: DiscoveryLogger;
  /** Of all watched names. */
  readonly counts?: Set<NameCounts>;
  readonly timers?: Timers;
}

/** Counters of a service's DNS name, for the metrics. */
export interface NameCounts {
  readonly service: string;
  readonly name: string;
  failures: number;
  /** Last successful resolution, seconds since 1970; 0: never. */
  lastSuccess: number;
}

/** For both kinds, `dns` and `srv`. */
export class DnsSource implements Source<DnsName> {
  readonly #deps: DnsSourceDeps;

  constructor(deps: DnsSourceDeps) {
    this.#deps = deps;
  }

  watch(spec: WatchSpec<DnsName>, report: Report): Watch {
    const watch = new DnsWatch(this.#deps, spec, report);
    watch.start();
    return watch;
  }
}

class DnsWatch implements Watch {
  readonly #deps: DnsSourceDeps;
  readonly #timers: Timers;
  readonly #spec: WatchSpec<DnsName>;
  readonly #report: Report;
  #addresses: readonly Address[] | null = null;
  #ttlMs: number | null = null;
  #failures = 0;
  readonly #counts: NameCounts;
  #timer: unknown = null;
  #stopped = false;

  constructor(deps: DnsSourceDeps, spec: WatchSpec<DnsName>, report: Report) {
    this.#deps = deps;
    this.#timers = deps.timers ?? nodeTimers;
    this.#spec = spec;
    this.#report = report;
    this.#counts = { service: spec.service, name: sourceText(spec.source), failures: 0, lastSuccess: 0 };
    deps.counts?.add(this.#counts);
  }

  start(): void {
    const { known } = this.#spec;
    if (known === null) {
      void this.#ask();
      return;
    }
    this.#addresses = known.map(({ address }) => address);
    // The configuration defines their names, and may have changed.
    this.#report({ kind: 'endpoints', endpoints: this.#addresses.map((address) => endpointAt(address)) });
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#deps.counts?.delete(this.#counts);
    if (this.#timer !== null) this.#timers.clear(this.#timer);
    this.#timer = null;
  }

  #schedule(): void {
    const { minTtlMs, maxTtlMs } = this.#spec;
    const wanted =
      this.#failures === 0 ? (this.#ttlMs ?? DEFAULT_TTL_MS) : minTtlMs * 2 ** Math.min(this.#failures - 1, 30);
    this.#timer = this.#timers.set(() => void this.#ask(), Math.min(Math.max(wanted, minTtlMs), maxTtlMs));
  }

  async #ask(): Promise<void> {
    this.#timer = null;
    let resolution: Resolution | undefined;
    let reason = '';
    try {
      resolution = await this.#deps.resolver.resolve(this.#spec.source);
    } catch (error) {
      reason = explainFailure(error);
    }
    if (this.#stopped) return;
    if (resolution === undefined) this.#failed(reason);
    else this.#resolved(resolution);
    if (!this.#stopped) this.#schedule();
  }

  #resolved(resolution: Resolution): void {
    const { service, source } = this.#spec;
    const fields = { service, endpoint: sourceText(source) };
    if (this.#failures > 0)
      this.#deps.logger.info(this.#addresses === null ? 'endpoint resolves now' : 'endpoint resolves again', fields);
    this.#failures = 0;
    this.#counts.lastSuccess = Math.round(Date.now() / 1000);
    this.#ttlMs = resolution.ttlMs;
    this.#addresses = keepUnknown(this.#addresses ?? [], resolution);
    const endpoints: Endpoint[] = this.#addresses.map((address) => endpointAt(address));
    this.#report({ kind: 'endpoints', endpoints });
  }

  /** Logged once, whatever other reasons follow, until it resolves again. */
  #failed(reason: string): void {
    this.#failures++;
    this.#counts.failures++;
    const kept = this.#addresses;
    if (kept === null) this.#report({ kind: 'failed', reason });
    if (this.#failures > 1) return;
    const { service, source } = this.#spec;
    const fields = { service, endpoint: sourceText(source), reason };
    if (kept === null)
      this.#deps.logger.warn('endpoint does not resolve; its service goes without it until it does', fields);
    else
      this.#deps.logger.warn('endpoint no longer resolves; its last known addresses stay in use', {
        ...fields,
        kept: kept.length,
      });
  }
}

/** Keeps addresses of families that the answer says nothing about. */
function keepUnknown(before: readonly Address[], resolution: Resolution): readonly Address[] {
  const { addresses, unknownFamilies } = resolution;
  if (unknownFamilies.length === 0) return addresses;
  const kept = before.filter(({ host }) => unknownFamilies.includes(host.includes(':') ? 6 : 4));
  return unique([...addresses, ...kept]);
}

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such name',
  ENODATA: 'the name exists, but has no such record',
  ESERVFAIL: 'the DNS server failed',
  ETIMEOUT: 'the DNS server did not answer in time',
  ECONNREFUSED: 'no DNS server listens at the configured address',
  EREFUSED: 'the DNS server refuses to answer',
  EAI_AGAIN: 'name resolution failed for now; the DNS server may be unreachable',
};

function explainFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return code in WORDS ? `${WORDS[code]} (${code})` : error.message;
}
