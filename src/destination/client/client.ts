// A DestinationLookup on a Linkerd-style destination service: a stream for each watch, all on one connection.
import type { Address } from '../../config/model.js';
import type { Watch } from '../../discovery/source.js';
import { addressText } from '../../discovery/text.js';
import type { DestinationLookup, EndpointsUpdate, ProfileUpdate, Requester } from '../lookup.js';
import { DESTINATION_SERVICE, decodeProfile, encodeGetDestination } from '../messages.js';
import { decodeRules, RULES_METHOD, type RulesMessage } from '../rules-message.js';
import { Channel, type ChannelDeps, type ChannelOptions } from './channel.js';
import { EndpointsWatch } from './endpoints-watch.js';
import { Subscription } from './subscription.js';
import { validateProfile } from './validate.js';

export interface DestinationClientOptions extends ChannelOptions {
  readonly maxMessageBytes: number;
  readonly maxEndpoints: number;
}

/** In the format of Linkerd's proxies; `family` is our addition. */
const contextToken = ({ namespace, node, pod, family }: Requester): string =>
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

  watchProfile(address: Address, requester: Requester, report: (update: ProfileUpdate) => void): Watch {
    return this.#subscribe(`/${DESTINATION_SERVICE}/GetProfile`, addressText(address), requester, {
      opened: () => undefined,
      closed: () => undefined,
      message: (octets) => {
        const update = decodeProfile(octets, address.port);
        if (update.kind === 'profile') validateProfile(update.profile);
        report(update);
      },
      unknown: () => report({ kind: 'unknown' }),
    });
  }

  watchEndpoints(authority: string, requester: Requester, report: (update: EndpointsUpdate) => void): Watch {
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
    const subscription = this.#subscribe(`/${DESTINATION_SERVICE}/Get`, authority, requester, watch);
    return {
      stop: () => {
        subscription.stop();
        watch.stop();
      },
    };
  }

  /** The mesh's rules for this proxy; null: there are none. Never called with servers that do not know the method. */
  watchRules(requester: Requester, report: (rules: RulesMessage | null) => void): Watch {
    return this.#subscribe(RULES_METHOD, '', requester, {
      opened: () => undefined,
      closed: () => undefined,
      message: (octets) => report(decodeRules(octets)),
      unknown: () => undefined,
    });
  }

  #subscribe(
    method: string,
    path: string,
    requester: Requester,
    events: ConstructorParameters<typeof Subscription>[2],
  ): Subscription {
    const { maxMessageBytes, minBackoffMs, maxBackoffMs } = this.options;
    const request = encodeGetDestination({ scheme: '', path, contextToken: contextToken(requester) });
    const bounds = { maxMessageBytes, minBackoffMs, maxBackoffMs };
    const options = { method, request, subject: path === '' ? 'rules of the mesh' : path, ...bounds };
    return new Subscription(this.#channel, options, events);
  }
}
