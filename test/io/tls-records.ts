// TLS 1.3 records that no library would write: sealed by hand with the secret of one direction (RFC 8446 5.2, 7.3).
import { createCipheriv, createHmac } from 'node:crypto';

export const CONTENT = { CHANGE_CIPHER_SPEC: 20, ALERT: 21, HANDSHAKE: 22, PAYLOAD: 23 } as const;

/** HKDF-Expand-Label with SHA-256, for up to 32 bytes. */
export function expand(secret: Buffer, label: string, length: number): Buffer {
  const text = `tls13 ${label}`;
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 255, text.length]),
    Buffer.from(text, 'latin1'),
    Buffer.from([0, 1]),
  ]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, length);
}

export function plainRecord(type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 3, payload.length >> 8, payload.length & 255]), payload]);
}

/** Writes one direction of a connection with TLS_AES_128_GCM_SHA256. */
export class Sealer {
  private key: Buffer = Buffer.alloc(0);
  private iv: Buffer = Buffer.alloc(0);
  private sequence = 0n;

  constructor(private secret: Buffer) {
    this.derive();
  }

  record(type: number, payload: Uint8Array, padding = 0): Buffer {
    const nonce = Buffer.from(this.iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ this.sequence++, 4);
    const inner = Buffer.concat([payload, Buffer.from([type]), Buffer.alloc(padding)]);
    const length = inner.length + 16;
    const header = Buffer.from([CONTENT.PAYLOAD, 3, 3, length >> 8, length & 255]);
    const cipher = createCipheriv('aes-128-gcm', this.key, nonce);
    cipher.setAAD(header);
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  payload(text: string): Buffer {
    return this.record(CONTENT.PAYLOAD, Buffer.from(text));
  }

  alert(level: number, description: number): Buffer {
    return this.record(CONTENT.ALERT, Buffer.from([level, description]));
  }

  /** A KeyUpdate; what follows is sealed with the new key. */
  keyUpdate(requested = false): Buffer {
    const record = this.record(CONTENT.HANDSHAKE, Buffer.from([24, 0, 0, 1, requested ? 1 : 0]));
    this.secret = expand(this.secret, 'traffic upd', 32);
    this.derive();
    return record;
  }

  private derive(): void {
    this.key = expand(this.secret, 'key', 16);
    this.iv = expand(this.secret, 'iv', 12);
    this.sequence = 0n;
  }
}
