// Topics of streams: each is watched once for all streams with the same question, and reported as states.
import type { Address } from '../../config/model.js';
import { type Endpoint, sameEndpoints } from '../../discovery/endpoint.js';
import type { Watch } from '../../discovery/source.js';
import { addressText } from '../../discovery/text.js';
import type { DestinationLookup, EndpointsUpdate, Requester } from '../lookup.js';
import { EndpointsState, ProfileState, type State } from './states.js';

export interface Subscriber {
  /** Called at once if the state is known, then for each new one. */
  changed(state: State): void;
}

/** A subscription to a topic. */
export interface Subscription {
  leave(subscriber: Subscriber): void;
}

/** A watched topic with its subscribers. */
class Topic implements Subscription {
  /** Most have one, which is stored without a set. */
  #only: Subscriber | null = null;
  #others: Set<Subscriber> | null = null;
  #state: State | null = null;
  #watch: Watch | null = null;

  /** `home` is told when the last subscriber has left. */
  constructor(
    readonly key: string,
    private readonly home: Home,
  ) {}

  begin(watch: Watch): void {
    this.#watch = watch;
  }

  get state(): State | null {
    return this.#state;
  }

  is(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#only?.changed(state);
    if (this.#others !== null) for (const subscriber of this.#others) subscriber.changed(state);
  }

  join(subscriber: Subscriber): this {
    if (this.#only === null && this.#others === null) this.#only = subscriber;
    else {
      this.#others ??= new Set();
      this.#others.add(subscriber);
    }
    if (this.#state !== null) subscriber.changed(this.#state);
    return this;
  }

  leave(subscriber: Subscriber): void {
    if (this.#only === subscriber) this.#only = null;
    else if (!this.#others?.delete(subscriber)) return;
    if (this.#others?.size === 0) this.#others = null;
    if (this.#only !== null || this.#others !== null) return;
    this.#watch?.stop();
    this.home.emptied(this);
  }
}

/** Where a topic is registered. */
interface Home {
  emptied(topic: Topic): void;
}

/** Maximum number of a Service's states to compare with a new one: it has at most one view per zone. */
const MAX_VIEWS = 16;

/** A Service's port, watched per place: its endpoints may depend on the client's place. */
class Service implements Home {
  readonly byPlace = new Map<string, Topic>();

  constructor(
    private readonly encoded: () => void,
    private readonly empty: () => void,
  ) {}

  emptied({ key }: Topic): void {
    this.byPlace.delete(key);
    if (this.byPlace.size === 0) this.empty();
  }

  /** Several places with the same content share a state. */
  stateOf(update: EndpointsUpdate): EndpointsState {
    const endpoints = update.kind === 'unknown' ? null : update.endpoints;
    const seen = new Set<State | null>([null]);
    for (const { state } of this.byPlace.values()) {
      if (seen.has(state)) continue;
      if (state instanceof EndpointsState && sameKnowledge(state.endpoints, endpoints)) return state;
      seen.add(state);
      if (seen.size > MAX_VIEWS) break;
    }
    return new EndpointsState(endpoints, this.encoded);
  }
}

const sameKnowledge = (a: readonly Endpoint[] | null, b: readonly Endpoint[] | null): boolean =>
  a === null || b === null ? a === b : sameEndpoints(a, b);

export class Topics {
  readonly #services = new Map<string, Service>();
  readonly #profiles = new Map<string, Topic>();
  /** By update: clients of one place get the same object, which need not be compared with others. */
  readonly #states = new WeakMap<EndpointsUpdate, EndpointsState>();
  readonly #ofProfiles: Home = { emptied: ({ key }) => this.#profiles.delete(key) };

  /** `encoded` is called for each encoding. */
  constructor(
    private readonly lookup: DestinationLookup,
    private readonly encoded: () => void,
  ) {}

  /** Watched topics. */
  get size(): number {
    let size = this.#profiles.size;
    for (const { byPlace } of this.#services.values()) size += byPlace.size;
    return size;
  }

  endpoints(authority: string, requester: Requester, subscriber: Subscriber): Subscription {
    let service = this.#services.get(authority);
    if (service === undefined) {
      service = new Service(this.encoded, () => this.#services.delete(authority));
      this.#services.set(authority, service);
    }
    return this.#ofPlace(service, authority, requester).join(subscriber);
  }

  #ofPlace(service: Service, authority: string, requester: Requester): Topic {
    const place = `${requester.family ?? ''} ${requester.node}`;
    const known = service.byPlace.get(place);
    if (known !== undefined) return known;
    const topic = new Topic(place, service);
    service.byPlace.set(place, topic);
    topic.begin(this.lookup.watchEndpoints(authority, requester, (update) => topic.is(this.#stateOf(service, update))));
    return topic;
  }

  #stateOf(service: Service, update: EndpointsUpdate): EndpointsState {
    const known = this.#states.get(update);
    if (known !== undefined) return known;
    const state = service.stateOf(update);
    this.#states.set(update, state);
    return state;
  }

  /** Profiles are the same for all clients. */
  profile(address: Address, requester: Requester, subscriber: Subscriber): Subscription {
    const key = addressText(address);
    const known = this.#profiles.get(key);
    if (known !== undefined) return known.join(subscriber);
    const topic = new Topic(key, this.#ofProfiles);
    this.#profiles.set(key, topic);
    topic.begin(
      this.lookup.watchProfile(address, requester, (update) => {
        this.encoded();
        topic.is(new ProfileState(update));
      }),
    );
    return topic.join(subscriber);
  }
}
