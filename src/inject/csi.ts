// Identities from cert-manager's csi-driver: a volume in which each pod finds its own key and certificate, renewed in place. No token is
// needed, and the key never leaves the node.
import { ValueError } from '../config/values.js';
import { CERTIFICATE_VOLUME } from './names.js';
import type { PlainMap } from './plain.js';

/** An issuer of cert-manager, or of an external signer. */
export interface CsiIssuer {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
}

const DRIVER = 'csi.cert-manager.io';
const GROUP = 'cert-manager.io';
/** An issuer of this kind serves all namespaces. */
const KIND = 'ClusterIssuer';
/** Renewed when a third of it is left, the driver's default. */
const DURATION = '24h';
const LABEL = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';
const FORM = new RegExp(`^(?:([A-Za-z][A-Za-z0-9]*)((?:\\.${LABEL})+)?/)?(${LABEL}(?:\\.${LABEL})*)$`);

/** The driver's variable: it knows the pod's namespace, which a template may not contain. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is the driver's to replace.
export const POD_NAMESPACE = '${POD_NAMESPACE}';

/** Where the driver writes for proxies. */
export const CERTIFICATE_FOLDER = '/var/run/secrets/sluice';
export const CERTIFICATE_FILES = { certificate: 'tls.crt', key: 'tls.key', anchors: 'ca.crt' } as const;

/** `NAME`, `KIND/NAME` or `KIND.GROUP/NAME`. Throws a ValueError. */
export function csiIssuer(text: string): CsiIssuer {
  const [, kind = KIND, group = '', name = ''] = FORM.exec(text) ?? [];
  if (name === '')
    throw new ValueError(`${JSON.stringify(text)} is not an issuer; write NAME, KIND/NAME or KIND.GROUP/NAME`);
  return { name, kind, group: group.slice(1) || GROUP };
}

/** `group`: the proxy's, because others must not read the key. */
export function csiVolume({ name, kind, group }: CsiIssuer, identity: string, ownGroup: number): PlainMap {
  const attributes = {
    'issuer-name': name,
    'issuer-kind': kind,
    'issuer-group': group,
    'dns-names': identity,
    'key-usages': 'digital signature,key encipherment,server auth,client auth',
    'key-encoding': 'PKCS8',
    duration: DURATION,
    'fs-group': `${ownGroup}`,
    'certificate-file': CERTIFICATE_FILES.certificate,
    'privatekey-file': CERTIFICATE_FILES.key,
    'ca-file': CERTIFICATE_FILES.anchors,
  };
  const named = Object.entries(attributes).map(([key, value]) => [`${DRIVER}/${key}`, value]);
  return {
    name: CERTIFICATE_VOLUME,
    csi: { driver: DRIVER, readOnly: true, volumeAttributes: Object.fromEntries(named) },
  };
}
