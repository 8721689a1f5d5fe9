// Names of what the injector adds to pods besides containers, used to find it again.

export const TOKEN_VOLUME = 'sluice-identity-token';
/** Of cert-manager's csi-driver. */
export const CERTIFICATE_VOLUME = 'sluice-identity';
export const LOCK_VOLUME = 'sluice-init-lock';
export const VOLUMES: readonly string[] = [TOKEN_VOLUME, CERTIFICATE_VOLUME, LOCK_VOLUME];

export const VERSION_ANNOTATION = 'sluice.io/proxy-version';
