// Names of what the injector puts into pods, by which it is found again.

export const PROXY = 'sluice-proxy';
export const INIT = 'sluice-init';
export const TOKEN_VOLUME = 'sluice-identity-token';
/** Of cert-manager's csi-driver. */
export const CERTIFICATE_VOLUME = 'sluice-identity';
export const LOCK_VOLUME = 'sluice-init-lock';
export const VOLUMES: readonly string[] = [TOKEN_VOLUME, CERTIFICATE_VOLUME, LOCK_VOLUME];

/** Which control plane the proxy of a pod belongs to. */
export const CONTROL_PLANE_LABEL = 'sluice.io/control-plane-ns';
export const VERSION_ANNOTATION = 'sluice.io/proxy-version';
