// Proxies that are Node programs: one process, one thread.
import { join } from 'node:path';
import { outputRoot, packageRoot } from '../paths.js';
import { foreignVersion } from '../peers/packages.js';
import { clientsSpeakHttp2, endpointSpeaksHttp2, type Subject } from './subject.js';

interface NodePeer {
  readonly name: string;
  /** In `peers/`. */
  readonly file: string;
  /** The package it uses. */
  readonly module: string;
  readonly http2: boolean;
}

/** `directory`: its node_modules may have what ours lacks. */
function nodePeer({ name, file, module, http2 }: NodePeer, directory: string | null): Subject {
  const directories = [...(directory === null ? [] : [directory]), packageRoot];
  return {
    name,
    missing: () =>
      foreignVersion(module, directories) === null
        ? `${module} is not installed (npm install ${module} in a directory, and --peers DIRECTORY)`
        : null,
    version: () => `${foreignVersion(module, directories)} on Node ${process.versions.node}`,
    unsupported(work) {
      if (work.kind === 'tcp') return `${name} does not relay plain TCP`;
      if (work.upgrade) return `${name} relays no WebSocket here`;
      if (work.tls !== undefined) return `${name} has no TLS here`;
      if (http2)
        return clientsSpeakHttp2(work) && endpointSpeaksHttp2(work) ? null : `${name} is for HTTP/2 on both sides`;
      return clientsSpeakHttp2(work) || endpointSpeaksHttp2(work) ? `${name} speaks HTTP/1.1 only` : null;
    },
    async start(session, work) {
      const port = await session.port();
      const script = join(outputRoot, 'src/harness/peers', file);
      const command = [process.execPath, script, String(port), String(work.upstream), ...directories];
      const started = session.start(name, work.cores, command);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}

export const nodePeers = (directory: string | null): readonly Subject[] => [
  nodePeer({ name: 'node-undici', file: 'undici.js', module: 'undici', http2: false }, directory),
  nodePeer({ name: 'node-http-proxy', file: 'http-proxy.js', module: 'http-proxy', http2: false }, directory),
  nodePeer({ name: 'node-http2-wrapper', file: 'http2-wrapper.js', module: 'http2-wrapper', http2: true }, directory),
];
