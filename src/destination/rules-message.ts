// The controller's message to a sidecar about its mesh's rules. Linkerd's own interface has rules per port, without methods and paths; this
// one carries an `authorization` section as in the configuration.
import { Reader } from '../protobuf/reader.js';
import { Writer } from '../protobuf/writer.js';

/** Its request is a GetDestination of which only the context counts, and only if no certificate identifies the caller. */
export const RULES_METHOD = '/sluice.policy.Authorizations/Watch';

export interface RulesMessage {
  /** The key in the ConfigMap; empty: no rules. */
  readonly key: string;
  /** The section, as JSON. */
  readonly json: string;
}

const RULES = { key: 1, json: 2 } as const;

export function encodeRules(ruling: RulesMessage | null): Buffer {
  const writer = new Writer();
  if (ruling !== null) writer.string(RULES.key, ruling.key).string(RULES.json, ruling.json);
  return writer.finish();
}

/** Null: there are none. Throws a ProtobufError. */
export function decodeRules(octets: Uint8Array): RulesMessage | null {
  const message = { key: '', json: '' };
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === RULES.key) message.key = reader.string();
    else if (reader.field === RULES.json) message.json = reader.string();
  }
  return message.key === '' ? null : message;
}
