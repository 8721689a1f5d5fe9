// All subjects, in the order of tables.
import { envoy } from './envoy.js';
import { haproxy } from './haproxy.js';
import { linkerd2Proxy } from './linkerd2-proxy.js';
import { nghttpx } from './nghttpx.js';
import { nginxForAll } from './nginx.js';
import { nodePeers } from './node.js';
import { sluice } from './sluice.js';
import { direct, type Subject } from './subject.js';

/** `directory`: its node_modules may have packages that ours lacks. */
export const subjects = (directory: string | null): readonly Subject[] => [
  direct,
  sluice('sluice-uring', 'uring'),
  sluice('sluice-epoll', 'epoll'),
  nginxForAll(),
  haproxy(),
  nghttpx(),
  envoy(),
  linkerd2Proxy(),
  ...nodePeers(directory),
];
