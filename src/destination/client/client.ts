// A DestinationLookup on a Linkerd-style destination service: a stream for each watch, all on one connection.
import type { Address } from '../../config/model.js';
import type { Watch } from '../../discovery/source.js';
import { addressText } from '../../discovery/text.js';
import type { Asker, DestinationLookup, EndpointsUpdate, ProfileUpdate } from '../lookup.js';
import { DESTINATION_SERVICE, decodeProfile, encodeGetDestination } from '../messages.js';
import { decodeRuling, RULES_METHOD, type RulingMessage } from '../ruling-message.js';
import { Channel, type ChannelDeps, type ChannelOptions } from './channel.js';
import { EndpointsWatch } from './endpoints-watch.js';
import { checkProfile } from './plausible.js';
import { Subscription } from './subscription.js';

export interface DestinationClientOptions extends ChannelOptions {
  readonly maxMessageBytes: number;
  readonly maxEndpoints: number;
}

/** In the format of Linkerd's proxies; `family` is our addition. */
const contextToken = ({ namespace, node, pod, family }: Asker): string =>
  JSON.stringify({ ns: namespace, nodeName: node, pod, family });

export class DestinationClient implements DestinationLookup {
  readonly #channel: Channel;

  constructor(
    private readonly options: DestinationClientOptions,
    deps: ChannelDeps,
  ) {
    this.#channel = new Channel(options, deps);
  }

  start(): void {
    this.#channel.start();
  }

  identityChanged(): void {
    this.#channel.identityChanged();
  }

  stop(): void {
    this.#channel.stop();
  }

  watchProfile(address: Address, asker: Asker, report: (update: ProfileUpdate) => void): Watch {
    return this.#subscribe(`/${DESTINATION_SERVICE}/GetProfile`, addressText(address), asker, {
      opened: () => undefined,
      closed: () => undefined,
      message: (octets) => {
        const update = decodeProfile(octets, address.port);
        if (update.kind === 'profile') checkProfile(update.profile);
        report(update);
      },
      unknown: () => report({ kind: 'unknown' }),
    });
  }

  watchEndpoints(authority: string, asker: Asker, report: (update: EndpointsUpdate) => void): Watch {
    const watch = new EndpointsWatch(this.options.maxEndpoints, report, (refused) =>
      this.#channel.failed(
        'size',
        'a service has more endpoints than destination.maxEndpoints; the others are not used',
        {
          about: authority,
          refused,
        },
      ),
    );
    const subscription = this.#subscribe(`/${DESTINATION_SERVICE}/Get`, authority, asker, watch);
    return {
      stop: () => {
        subscription.stop();
        watch.stop();
      },
    };
  }

  /** The mesh's rules for this proxy; null: there are none. Never called with servers that do not know the method. */
  watchRules(asker: Asker, report: (ruling: RulingMessage | null) => void): Watch {
    return this.#subscribe(RULES_METHOD, '', asker, {
      opened: () => undefined,
      closed: () => undefined,
      message: (octets) => report(decodeRuling(octets)),
      unknown: () => undefined,
    });
  }

  #subscribe(
    method: string,
    path: string,
    asker: Asker,
    events: ConstructorParameters<typeof Subscription>[2],
  ): Subscription {
    const { maxMessageBytes, minBackoffMs, maxBackoffMs } = this.options;
    const request = encodeGetDestination({ scheme: '', path, contextToken: contextToken(asker) });
    const bounds = { maxMessageBytes, minBackoffMs, maxBackoffMs };
    const options = { method, request, subject: path === '' ? 'rules of the mesh' : path, ...bounds };
    return new Subscription(this.#channel, options, events);
  }
}
