// The `l5d-…` fields of requests from outside. Only proxies may set them, so they are removed, and the client's certified identity is
// added. This happens where a message is received, so it carries over into either version and into the kept copy of a request.
// (`l5d-orig-proto` of HTTP/2 is addressed to this proxy; whoever forwards or restores the request removes it.)
import type { FieldList } from '../hpack/field-list.js';
import { NAME } from '../http/field-names.js';
import { isMeshName } from '../http/mesh-names.js';
import { FIELD_KIND } from '../http1/fields.js';
import type { Head } from '../http1/head.js';
import { MAX_LISTENERS } from '../metrics/layout.js';
import { NOBODY, type TlsPeers } from '../tls/peers.js';

const CLIENT_ID = 'l5d-client-id';
const NAME_END = CLIENT_ID.length;
const VALUE = NAME_END + 2;
/** A SPIFFE ID has at most 2048 bytes (SPIFFE ID, section 2.3). */
const MAX_IDENTITY = 2048;
/** Size of this part in the slab's fixed region. */
export const MESH_FIELDS_BYTES = VALUE + MAX_IDENTITY + 2 + 64;
/** Characters allowed in a name, so that the field value is unambiguous. */
const VISIBLE = /^[\x21-\x7e]{1,2048}$/;

/** What this needs of the worker's context. */
interface Shared {
  readonly slab: { readonly bytes: Uint8Array; fixed(length: number): number };
  readonly connections: { readonly listener: Int16Array };
  readonly peers: Pick<TlsPeers, 'identity' | 'nameOf'>;
}

export class MeshFields {
  /** Whether any listener wants this; if not, nothing is checked. */
  active = false;
  private readonly guarded = new Uint8Array(MAX_LISTENERS);
  private readonly bytes: Uint8Array;
  /** `l5d-client-id: NAME` CRLF for the client of the last request. */
  private readonly at: number;
  private readonly text: Buffer;
  private written = '';
  private length = 0;

  constructor(private readonly context: Shared) {
    const { slab } = context;
    this.bytes = slab.bytes;
    this.at = slab.fixed(MESH_FIELDS_BYTES);
    this.text = Buffer.from(slab.bytes.buffer, slab.bytes.byteOffset + this.at, MESH_FIELDS_BYTES);
    this.text.write(`${CLIENT_ID}: `, 0, 'latin1');
  }

  configure(listeners: readonly { readonly slot: number; readonly meshHeaders: boolean }[]): void {
    for (const { slot, meshHeaders } of listeners) this.guarded[slot] = meshHeaders ? 1 : 0;
    this.active = this.guarded.includes(1);
  }

  /** For an HTTP/1 request from `client`. */
  inHead(head: Head, client: number): void {
    if (this.guarded[this.context.connections.listener[client]] === 0) return;
    const { bytes } = this;
    const { fields, kind, count } = head;
    for (let i = 0; i < count; i++) {
      const name = fields[i << 2];
      if (isMeshName(bytes, name, fields[(i << 2) + 1] - name)) kind[i] = FIELD_KIND.HOP;
    }
    if (this.write(client)) head.append(this.at, this.at + NAME_END, this.at + VALUE + this.length);
  }

  /** For an HTTP/2 request from `client`. */
  inList(list: FieldList, client: number): void {
    if (this.guarded[this.context.connections.listener[client]] === 0) return;
    this.strip(list);
    if (this.write(client)) list.append(NAME.CLIENT_ID, this.at + VALUE, this.length);
  }

  /** For the trailers of one. (HTTP/1 trailers never contain such fields: `isForbiddenTrailer`.) */
  inTrailers(list: FieldList, client: number): void {
    if (this.guarded[this.context.connections.listener[client]] === 1) this.strip(list);
  }

  private strip(list: FieldList): void {
    if (!hasMeshNames(this.bytes, list)) return;
    list.expand();
    for (let i = list.count - 1; i >= 0; i--) {
      if (list.name[i] !== NAME.ORIG_PROTO && isMeshName(this.bytes, list.nameAt[i], list.nameLength[i])) list.drop(i);
    }
  }

  /** Writes the identity of `client`; false if it has none, or none that can be written. */
  private write(client: number): boolean {
    const { peers } = this.context;
    const identity = peers.identity[client];
    if (identity === NOBODY) return false;
    const name = peers.nameOf(identity);
    if (name !== this.written) {
      this.written = name;
      this.length = VISIBLE.test(name) ? name.length : 0;
      this.text.write(`${name.slice(0, this.length)}\r\n`, VALUE, 'latin1');
    }
    return this.length > 0;
  }
}

/** Whether there is such a field other than ORIG_PROTO. Templates are checked once. */
function hasMeshNames(bytes: Uint8Array, list: FieldList): boolean {
  const { template, count } = list;
  for (let i = 0; i < count; i++) {
    if (list.name[i] !== NAME.ORIG_PROTO && isMeshName(bytes, list.nameAt[i], list.nameLength[i])) return true;
  }
  if (template === null) return false;
  if (template.meshNames < 0) {
    template.meshNames = 0;
    for (let k = 0; k < template.count; k++) {
      const named = template.name[k] !== NAME.ORIG_PROTO;
      if (named && isMeshName(bytes, template.nameAt[k], template.nameLength[k])) template.meshNames = 1;
    }
  }
  return template.meshNames === 1;
}
