// All pieces, in the order of a request's way.
import { ownCertificate } from './certificate.js';
import type { Piece } from './piece.js';
import { pick, record } from './pieces/counting.js';
import { frameLoop } from './pieces/frames.js';
import { detector, requestHead, responseHead } from './pieces/heads.js';
import { repeatedFields, variedFields } from './pieces/hpack.js';
import { tlsRecord } from './pieces/tls.js';

export async function allPieces(): Promise<readonly Piece[]> {
  const certificate = await ownCertificate('micro.local');
  return [
    detector,
    requestHead,
    responseHead,
    repeatedFields,
    variedFields,
    frameLoop,
    pick,
    record,
    tlsRecord(certificate, 1024),
    tlsRecord(certificate, 16_384),
  ];
}
