// Files of endpoints: each is read once for all services that name it, watched, and read again when it changes. If it can't be read, or has
// an error, its last valid content stays in use.
import type { EndpointSource } from '../config/model.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { DirectoryWatcher } from './directory-watcher.js';
import { type EndpointLists, parseEndpointFile, selectList } from './endpoint-file.js';
import { FileProblem, FileTooLarge, fileSignature, readFile } from './read-file.js';
import type { DiscoveryLogger, Report, Source, Timers, Watch, WatchSpec } from './source.js';
import { nodeTimers } from './source.js';
import { WatchedPath } from './watched-path.js';

type FileSpec = Extract<EndpointSource, { kind: 'file' }>;

/** Number of files checked per poll, in turn. */
const FILES_PER_POLL = 256;

/** For the metrics. */
export interface FileCounts {
  /** Watched files. */
  watched: number;
  /** Those that cannot be used now, or lack a list that a service names. */
  broken: number;
  /** Times that one was not read because of its size. */
  tooLarge: number;
}

export interface FileSourceDeps {
  readonly logger: DiscoveryLogger;
  /** Current values from the configuration. */
  limits(): { readonly maxFileBytes: number; readonly pollMs: number };
  readonly counts: FileCounts;
  readonly timers?: Timers;
}

interface Subscriber {
  readonly service: string;
  readonly key: string | null;
  readonly report: Report;
  /** The last problem with its list. */
  problem: string;
  /** It has had a report. */
  heard: boolean;
}

export class FileSource implements Source<FileSpec> {
  readonly #deps: FileSourceDeps;
  readonly #timers: Timers;
  readonly #directories: DirectoryWatcher;
  readonly #files = new Map<string, WatchedFile>();
  /** Files not yet checked in this round of polling. */
  #round: WatchedFile[] = [];
  #timer: unknown = null;

  constructor(deps: FileSourceDeps) {
    this.#deps = deps;
    this.#timers = deps.timers ?? nodeTimers;
    this.#directories = new DirectoryWatcher(deps.logger, this.#timers);
  }

  /** Number of watched directories, for tests. */
  get directories(): number {
    return this.#directories.size;
  }

  watch({ service, source }: WatchSpec<FileSpec>, report: Report): Watch {
    const subscriber: Subscriber = { service, key: source.key, report, problem: '', heard: false };
    let file = this.#files.get(source.path);
    if (file === undefined) {
      file = new WatchedFile(source.path, this.#deps, this.#directories);
      this.#files.set(source.path, file);
      this.#deps.counts.watched++;
      file.load();
    }
    const watched = file;
    watched.add(subscriber);
    this.#poll();
    return {
      stop: () => {
        if (!watched.remove(subscriber)) return;
        watched.close();
        this.#files.delete(source.path);
        this.#deps.counts.watched--;
        if (this.#files.size > 0 || this.#timer === null) return;
        this.#timers.clear(this.#timer);
        this.#timer = null;
      },
    };
  }

  #poll(): void {
    if (this.#timer !== null) return;
    this.#timer = this.#timers.set(() => {
      this.#timer = null;
      if (this.#round.length === 0) this.#round = [...this.#files.values()];
      for (const file of this.#round.splice(0, FILES_PER_POLL)) file.poll();
      if (this.#files.size > 0) this.#poll();
    }, this.#deps.limits().pollMs);
  }
}

class WatchedFile {
  readonly #subscribers = new Set<Subscriber>();
  /** Its last valid content. */
  #lists: EndpointLists | null = null;
  #signature = '';
  #problem = '';
  readonly #file: WatchedPath;
  #closed = false;
  /** It counts as broken. */
  #broken = false;

  constructor(
    private readonly path: string,
    private readonly deps: FileSourceDeps,
    directories: DirectoryWatcher,
  ) {
    this.#file = new WatchedPath(path, directories, (named) => this.#changed(named));
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    this.#tell(subscriber);
    if (subscriber.problem !== '') this.#count();
  }

  /** Whether that was the last one. */
  remove(subscriber: Subscriber): boolean {
    const last = this.#subscribers.delete(subscriber) && this.#subscribers.size === 0;
    if (subscriber.problem !== '') this.#count();
    return last;
  }

  close(): void {
    this.#closed = true;
    this.#count();
    this.#file.close();
  }

  #changed(named: boolean): void {
    // Read without comparing times: two changes within one tick of the file system's clock leave the same ones.
    if (named) this.load();
    else this.poll();
  }

  poll(): void {
    if (this.#closed) return;
    if (this.#current() !== this.#signature) this.load();
    else this.#file.watch();
  }

  load(): void {
    this.#file.watch();
    const { maxFileBytes } = this.deps.limits();
    try {
      const { text, signature } = readFile(this.path, maxFileBytes);
      this.#signature = `${maxFileBytes} ${signature}`;
      this.#lists = parseEndpointFile(this.path, text);
    } catch (error) {
      this.#failed(error);
      this.#count();
      return;
    }
    if (this.#problem !== '') this.deps.logger.info('file of endpoints is right again', { file: this.path });
    this.#problem = '';
    for (const subscriber of [...this.#subscribers]) this.#tell(subscriber);
    this.#count();
  }

  #count(): void {
    const missing = (): boolean => [...this.#subscribers].some(({ problem }) => problem !== '');
    const broken = !this.#closed && (this.#problem !== '' || missing());
    if (broken !== this.#broken) this.deps.counts.broken += broken ? 1 : -1;
    this.#broken = broken;
  }

  #failed(error: unknown): void {
    let problems: readonly string[];
    if (error instanceof ConfigError) problems = error.problems.map(formatProblem);
    else if (error instanceof FileProblem) {
      if (error instanceof FileTooLarge) this.deps.counts.tooLarge++;
      this.#signature = this.#current();
      problems = [`${this.path}: ${error.message}`];
    } else throw error;
    const text = problems.join('\n');
    if (text === this.#problem) return;
    this.#problem = text;
    const kept =
      this.#lists === null
        ? 'its services have no endpoints from it until it is'
        : 'the endpoints that it named last stay in use';
    for (const problem of problems) {
      this.deps.logger.error(`file of endpoints is not right; ${kept}`, { file: this.path, problem });
    }
  }

  /** Decides whether it must be read again. */
  #current(): string {
    return `${this.deps.limits().maxFileBytes} ${fileSignature(this.path)}`;
  }

  #tell(subscriber: Subscriber): void {
    const { service, key, report } = subscriber;
    const list = this.#lists === null ? null : selectList(this.#lists, key);
    if (list !== null && typeof list !== 'string') {
      subscriber.problem = '';
      subscriber.heard = true;
      report({ kind: 'endpoints', endpoints: list });
      return;
    }
    // A service that has endpoints keeps them; a new one is told that there are none yet.
    if (!subscriber.heard) report({ kind: 'endpoints', endpoints: [] });
    subscriber.heard = true;
    if (list === null) return;
    if (list !== subscriber.problem) {
      const problem = `${this.path}: ${list}`;
      this.deps.logger.error('file of endpoints has no list for a service; its last endpoints stay in use', {
        file: this.path,
        service,
        problem,
      });
    }
    subscriber.problem = list;
  }
}
