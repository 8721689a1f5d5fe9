// CRC-32C (Castagnoli), the PROXY protocol's checksum (RFC 4960 appendix B).
const REVERSED_POLYNOMIAL = 0x82f63b78;

const TABLE = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ REVERSED_POLYNOMIAL : crc >>> 1;
  TABLE[byte] = crc;
}

/** The checksum of `bytes[start..end)`, where the four bytes at `hole` count as zeros; -1 for no hole. */
export function crc32c(bytes: Uint8Array, start: number, end: number, hole = -1): number {
  let crc = 0xffffffff;
  for (let at = start; at < end; at++) {
    const byte = hole >= 0 && at >= hole && at < hole + 4 ? 0 : bytes[at];
    crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  }
  return (crc ^ 0xffffffff) >>> 0;
}
