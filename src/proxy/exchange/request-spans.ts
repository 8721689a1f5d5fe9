// Positions of the parts of a new request, in either version of HTTP, while its head is still where it was read.
import type { FieldList } from '../../hpack/field-list.js';
import type { Core } from '../../http2/shared-state.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';

const LOWER = 0x20;

export class RequestSpans {
  methodAt = 0;
  methodEnd = 0;
  /** The target as written, and where in it the path begins. */
  targetAt = 0;
  targetEnd = 0;
  pathAt = 0;
  pathEnd = 0;
  /** -1 if there is none. */
  authorityAt = 0;
  authorityEnd = 0;
  /** The minor version, for HTTP/1. */
  minor = 1;
  /** The value located by `find`. */
  valueAt = 0;
  valueEnd = 0;

  constructor(
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly bytes: Uint8Array,
  ) {}

  locate(x: ExchangeSlot): void {
    if (this.exchanges.isStream(x)) this.fromList(this.core.list);
    else this.fromHead();
  }

  /** Whether there is a field with this lower-case name; the first one counts. */
  find(x: ExchangeSlot, name: Uint8Array): boolean {
    return this.exchanges.isStream(x) ? this.findInList(this.core.list, name) : this.findInHead(name);
  }

  private fromHead(): void {
    const { head } = this.http1;
    this.methodAt = head.methodStart;
    this.methodEnd = head.methodEnd;
    this.targetAt = head.targetStart;
    this.targetEnd = head.targetEnd;
    this.pathAt = head.pathStart;
    this.pathEnd = head.pathEnd;
    this.authorityAt = head.authorityStart;
    this.authorityEnd = head.authorityEnd;
    this.minor = head.minor;
  }

  private fromList({ facts }: FieldList): void {
    const named = facts.authorityAt >= 0;
    this.methodAt = facts.methodAt;
    this.methodEnd = facts.methodAt + facts.methodLength;
    this.targetAt = facts.pathAt;
    this.targetEnd = facts.pathAt + facts.pathLength;
    this.pathAt = this.targetAt;
    this.pathEnd = this.targetEnd;
    this.authorityAt = named ? facts.authorityAt : facts.hostAt;
    this.authorityEnd = this.authorityAt + (named ? facts.authorityLength : facts.hostLength);
  }

  private findInHead(name: Uint8Array): boolean {
    const { fields, count } = this.http1.head;
    for (let i = 0; i < count; i++) {
      const at = fields[4 * i];
      if (!this.named(at, fields[4 * i + 1] - at, name)) continue;
      this.valueAt = fields[4 * i + 2];
      this.valueEnd = fields[4 * i + 3];
      return true;
    }
    return false;
  }

  private findInList(list: FieldList, name: Uint8Array): boolean {
    const { template } = list;
    return (
      this.findAmong(list, list.count, name) || (template !== null && this.findAmong(template, template.count, name))
    );
  }

  private findAmong(
    columns: Readonly<Record<'nameAt' | 'nameLength' | 'valueAt' | 'valueLength', ArrayLike<number>>>,
    count: number,
    name: Uint8Array,
  ): boolean {
    for (let i = 0; i < count; i++) {
      if (!this.named(columns.nameAt[i], columns.nameLength[i], name)) continue;
      this.valueAt = columns.valueAt[i];
      this.valueEnd = this.valueAt + columns.valueLength[i];
      return true;
    }
    return false;
  }

  /** Whether the field name at `at` is `name`, whatever its case. */
  private named(at: number, length: number, name: Uint8Array): boolean {
    const { bytes } = this;
    if (length !== name.length) return false;
    for (let i = 0; i < length; i++) if ((bytes[at + i] | LOWER) !== (name[i] | LOWER)) return false;
    return true;
  }
}
