// The section `identity`.
import * as v from 'valibot';
import {
  parseAnchors,
  parseHostAddress,
  parseServerName,
  parseTrustDomain,
  parseUnixSocket,
  parseWorkload,
} from './identity-values.js';
import { section, timeout, value } from './schema-parts.js';
import { parseFilePath } from './values.js';

/** Requirements on the identity, timeouts, and one of three sources. */
export const identity = section({
  name: v.optional(value(parseWorkload)),
  serverName: v.optional(value(parseServerName)),
  trustDomain: v.optional(value(parseTrustDomain)),
  timeout: v.optional(timeout(), '10s'),
  minBackoff: v.optional(timeout(), '500ms'),
  maxBackoff: v.optional(timeout(), '30s'),
  files: v.optional(
    section({ certificate: value(parseFilePath), key: value(parseFilePath), anchors: value(parseFilePath) }),
  ),
  spiffe: v.optional(section({ socket: value(parseUnixSocket) })),
  linkerd: v.optional(
    section({
      address: value(parseHostAddress),
      serverName: v.optional(value(parseServerName)),
      token: value(parseFilePath),
      anchors: value(parseAnchors),
      minRefresh: v.optional(timeout(), '10s'),
      maxRefresh: v.optional(timeout(), '24h'),
    }),
  ),
});

export type IdentityTree = v.InferOutput<typeof identity>;
