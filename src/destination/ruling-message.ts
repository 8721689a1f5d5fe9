// The controller's message to a sidecar about its mesh's rules. Linkerd's own interface has rules per port, without methods and paths; this
// one carries an `authorization` section as in the configuration.
import { Reader } from '../protobuf/reader.js';
import { Writer } from '../protobuf/writer.js';

/** Its request is a GetDestination of which only the context counts, and only if no certificate identifies the caller. */
export const RULES_METHOD = '/sluice.policy.Authorizations/Watch';

export interface RulingMessage {
  /** The key in the ConfigMap; empty: no rules. */
  readonly key: string;
  /** The section, as JSON. */
  readonly json: string;
}

const RULING = { key: 1, json: 2 } as const;

export function encodeRuling(ruling: RulingMessage | null): Buffer {
  const writer = new Writer();
  if (ruling !== null) writer.string(RULING.key, ruling.key).string(RULING.json, ruling.json);
  return writer.finish();
}

/** Null: there are none. Throws a ProtobufError. */
export function decodeRuling(octets: Uint8Array): RulingMessage | null {
  const message = { key: '', json: '' };
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === RULING.key) message.key = reader.string();
    else if (reader.field === RULING.json) message.json = reader.string();
  }
  return message.key === '' ? null : message;
}
