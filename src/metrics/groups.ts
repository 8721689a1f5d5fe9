// The tables of series in the workers' memory, and the names in them.
import { ENDPOINT_FIELDS, gaugesOf, LISTENER_FIELDS, SERVICE_FIELDS } from './fields.js';
import { SlotGroup, type WorkerView } from './group.js';
import type { SnapshotHolders } from './histogram.js';
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointBase,
  endpointHistogram,
  L,
  LISTENER_HISTOGRAMS,
  listenerBase,
  listenerHistogram,
  MAX_LISTENERS,
  MAX_RULE_SERIES,
  R,
  ruleBase,
  S,
  serviceBase,
  serviceHistogram,
} from './layout.js';
import { RESPONSE_CELLS } from './response-cells.js';

export type Direction = 'inbound' | 'outbound';

export interface ListenerInfo {
  readonly name: string;
  readonly direction: Direction;
  /** TLS labels of its connections, whoever the client is. */
  readonly tls?: Readonly<Record<string, string>>;
}

/** An authorization rule, or the default of a listener. */
export interface RuleInfo {
  readonly listener: string;
  readonly rule: string;
}

export interface ServiceInfo {
  readonly name: string;
  /** `outbound` if absent. */
  readonly direction?: Direction;
}

export interface EndpointInfo {
  readonly service: string;
  /** `ip:port` or `[ip6]:port`. */
  readonly address: string;
  /** Labels for how it is dialled. */
  readonly tls?: Readonly<Record<string, string>>;
  /** `outbound` if absent. */
  readonly direction?: Direction;
}

/** The name of slot 0 in each table. */
export const OVERFLOW = 'overflow';

export interface GroupOptions {
  /** Number of series, including slot 0. */
  readonly services: number;
  readonly endpoints: number;
  readonly now?: () => number;
  readonly retainMs?: number;
  readonly reuseMs?: number;
}

export interface Groups {
  readonly listeners: SlotGroup<ListenerInfo>;
  readonly services: SlotGroup<ServiceInfo>;
  readonly endpoints: SlotGroup<EndpointInfo>;
  readonly rules: SlotGroup<RuleInfo>;
}

export function makeGroups(
  views: ReadonlySet<WorkerView>,
  options: GroupOptions,
  holders: Readonly<SnapshotHolders>,
): Groups {
  const { services, endpoints } = options;
  const listeners = new SlotGroup<ListenerInfo>(
    {
      capacity: MAX_LISTENERS,
      extra: 0,
      size: L.SIZE,
      gauges: [...gaugesOf(L, LISTENER_FIELDS), L.COUNTED_BY_IDENTITY],
      busy: [L.OPEN, L.COUNTED_BY_IDENTITY],
      histograms: LISTENER_HISTOGRAMS.length,
      baseOf: listenerBase,
      histogramOf: listenerHistogram,
    },
    views,
    { name: OVERFLOW, direction: 'inbound' },
    options,
    holders,
  );
  const ofServices = new SlotGroup<ServiceInfo>(
    {
      capacity: services,
      extra: 1,
      size: S.SIZE,
      gauges: gaugesOf(S, SERVICE_FIELDS),
      busy: [S.IN_FLIGHT],
      histograms: RESPONSE_CELLS,
      baseOf: serviceBase,
      histogramOf: serviceHistogram,
    },
    views,
    { name: OVERFLOW },
    options,
    holders,
  );
  const ofEndpoints = new SlotGroup<EndpointInfo>(
    {
      capacity: endpoints,
      extra: 1,
      size: E.SIZE,
      gauges: [...gaugesOf(E, ENDPOINT_FIELDS), E.PASSED + E.OPEN],
      busy: [E.OPEN, E.PASSED + E.OPEN, E.IN_FLIGHT, E.POOL_IDLE],
      histograms: ENDPOINT_HISTOGRAMS.length,
      baseOf: endpointBase,
      histogramOf: endpointHistogram,
    },
    views,
    { service: OVERFLOW, address: OVERFLOW },
    options,
    holders,
  );
  const rules = new SlotGroup<RuleInfo>(
    {
      capacity: MAX_RULE_SERIES,
      extra: 0,
      size: R.SIZE,
      gauges: [],
      busy: [],
      histograms: 0,
      baseOf: ruleBase,
      histogramOf: () => 0,
    },
    views,
    { listener: OVERFLOW, rule: OVERFLOW },
    options,
    holders,
  );
  return { listeners, services: ofServices, endpoints: ofEndpoints, rules };
}
