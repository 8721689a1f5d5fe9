// The containers and volumes that a pod gets.
import { SIDECAR_PORTS } from '../config/sidecar.js';
import { ADMIN_PORT_NAME, INBOUND_PORT_NAME, INIT, PROXY } from '../kubernetes/names.js';
import { formatSpans, type PortSpan } from '../redirect/port-list.js';
import { CERTIFICATE_FOLDER, csiVolume, POD_NAMESPACE } from './csi.js';
import type { Installation } from './installation.js';
import { CERTIFICATE_VOLUME, LOCK_VOLUME, TOKEN_VOLUME } from './names.js';
import type { PlainMap } from './plain.js';
import { ADMIN_PORT, PROXY_USER, type Settings } from './settings.js';
import { identityName, proxyVariables, TOKEN_FILE, TOKEN_FOLDER } from './variables.js';

/** Whom a token is for: the audience that identity services of this kind ask for. */
const AUDIENCE = 'identity.l5d.io';
const TOKEN_SECONDS = 86_400;
/** Of the proxy's start, as Linkerd has it. */
const START_SECONDS = 120;

function imageOf({ image, version }: Settings, mesh: Installation): string {
  const whole = image ?? mesh.image;
  if (version === null) return whole;
  // What is behind the last colon is a tag, unless it is the port of a registry.
  const bare = whole.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  return `${bare}:${version}`;
}

const sourceOf = (settings: Settings, mesh: Installation): PlainMap => ({
  image: imageOf(settings, mesh),
  imagePullPolicy: settings.pullPolicy ?? mesh.imagePullPolicy,
});

const resourcesOf = ({ resources }: Settings): PlainMap => (Object.keys(resources).length === 0 ? {} : { resources });

/** `--name list`, where there is any. */
const ports = (name: string, spans: readonly PortSpan[]): string[] =>
  spans.length === 0 ? [] : [name, formatSpans(spans)];

function initArguments({
  ports: own,
  uid,
  gid,
  skipInbound,
  skipOutbound,
  skipSubnets,
  closeWaitSeconds,
}: Settings): string[] {
  const admin = own.admin === ADMIN_PORT ? [] : [{ first: own.admin, last: own.admin }];
  return [
    'init',
    '--proxy-uid',
    `${uid}`,
    ...(gid === null ? [] : ['--proxy-gid', `${gid}`]),
    ...(own.inbound === SIDECAR_PORTS.inbound ? [] : ['--incoming-proxy-port', `${own.inbound}`]),
    ...(own.outbound === SIDECAR_PORTS.outbound ? [] : ['--outgoing-proxy-port', `${own.outbound}`]),
    ...ports('--inbound-ports-to-ignore', [...admin, ...skipInbound]),
    ...ports('--outbound-ports-to-ignore', skipOutbound),
    ...(skipSubnets.length === 0 ? [] : ['--subnets-to-ignore', skipSubnets.join(',')]),
    ...(closeWaitSeconds === null ? [] : ['--timeout-close-wait-secs', `${closeWaitSeconds}`]),
  ];
}

/** Lays the rules of netfilter, and ends. */
export function initContainer(settings: Settings, mesh: Installation): PlainMap {
  // /proc/sys is read-only in a container unless it is privileged.
  const privileged = settings.closeWaitSeconds !== null;
  return {
    name: INIT,
    ...sourceOf(settings, mesh),
    args: initArguments(settings),
    ...resourcesOf(settings),
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      readOnlyRootFilesystem: true,
      ...(privileged ? { privileged } : {}),
      allowPrivilegeEscalation: privileged,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // Where iptables has its lock.
    volumeMounts: [{ name: LOCK_VOLUME, mountPath: '/run' }],
  };
}

const groupOf = ({ gid }: Settings): number => gid ?? PROXY_USER;

const probe = (path: string): PlainMap => ({ httpGet: { path, port: ADMIN_PORT_NAME } });

function lifecycleOf({ native, awaited, waitBeforeExitSeconds }: Settings): PlainMap {
  if (native) return {};
  const lifecycle = {
    ...(awaited ? { postStart: { exec: { command: ['sluice', 'await'] } } } : {}),
    ...(waitBeforeExitSeconds > 0 ? { preStop: { sleep: { seconds: waitBeforeExitSeconds } } } : {}),
  };
  return Object.keys(lifecycle).length === 0 ? {} : { lifecycle };
}

const seccompOf = ({ seccomp }: Settings): PlainMap =>
  seccomp === null ? { type: 'RuntimeDefault' } : { type: 'Localhost', localhostProfile: seccomp };

export function proxyContainer(settings: Settings, probes: readonly string[], mesh: Installation): PlainMap {
  const { ports: own, uid, native, awaited } = settings;
  const startup = { startupProbe: { ...probe('/ready'), periodSeconds: 1, failureThreshold: START_SECONDS } };
  return {
    name: PROXY,
    ...sourceOf(settings, mesh),
    args: ['run', '--sidecar'],
    env: proxyVariables(settings, probes, mesh),
    ports: [
      { name: INBOUND_PORT_NAME, containerPort: own.inbound },
      { name: ADMIN_PORT_NAME, containerPort: own.admin },
    ],
    ...(native ? { restartPolicy: 'Always', ...(awaited ? startup : {}) } : {}),
    livenessProbe: { ...probe('/live'), initialDelaySeconds: 10 },
    readinessProbe: { ...probe('/ready'), initialDelaySeconds: 2 },
    ...lifecycleOf(settings),
    ...resourcesOf(settings),
    securityContext: {
      runAsUser: uid,
      runAsGroup: groupOf(settings),
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: seccompOf(settings),
    },
    ...mountsOf(mesh),
  };
}

function mountsOf({ trustAnchors, csiIssuer }: Installation): PlainMap {
  const mount = (name: string, mountPath: string): PlainMap => ({
    volumeMounts: [{ name, mountPath, readOnly: true }],
  });
  if (trustAnchors === null) return {};
  return csiIssuer === null ? mount(TOKEN_VOLUME, TOKEN_FOLDER) : mount(CERTIFICATE_VOLUME, CERTIFICATE_FOLDER);
}

/** What the proxy's identity is from. `account` is the pod's. */
function identityVolume(settings: Settings, mesh: Installation, account: string): PlainMap {
  const { csiIssuer } = mesh;
  if (csiIssuer !== null) return csiVolume(csiIssuer, identityName(account, POD_NAMESPACE, mesh), groupOf(settings));
  const token = { path: TOKEN_FILE, audience: AUDIENCE, expirationSeconds: TOKEN_SECONDS };
  return { name: TOKEN_VOLUME, projected: { sources: [{ serviceAccountToken: token }] } };
}

export function volumes(settings: Settings, mesh: Installation, account: string): PlainMap[] {
  const lock = { name: LOCK_VOLUME, emptyDir: {} };
  return mesh.trustAnchors === null ? [lock] : [identityVolume(settings, mesh, account), lock];
}
