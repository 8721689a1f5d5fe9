// A source whose code is loaded with the first service that needs it.
import type { EndpointSource } from '../config/model.js';
import type { Report, Source, Watch, WatchSpec } from './source.js';

export class LazySource<S extends EndpointSource> implements Source<S> {
  private loading: Promise<Source<S>> | undefined;

  constructor(private readonly load: () => Promise<Source<S>>) {}

  watch(spec: WatchSpec<S>, report: Report): Watch {
    let watch: Watch | undefined;
    let stopped = false;
    this.loading ??= this.load();
    void this.loading.then((source) => {
      if (!stopped) watch = source.watch(spec, report);
    });
    return {
      stop: () => {
        stopped = true;
        watch?.stop();
      },
    };
  }
}
