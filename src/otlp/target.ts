// A collector's address, as in OTEL_EXPORTER_OTLP_ENDPOINT: `http://collector:4318`. The signal's path is added.

export type Signal = 'metrics' | 'traces';

/** The URL for posting `signal`. Throws an Error that says what is wrong with `text`. */
export function otlpUrl(text: string, signal: Signal): URL {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new Error(`"${text}" is not the address of a collector; write it like http://127.0.0.1:4318`);
  const url = new URL(text);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith(`/v1/${signal}`) ? path : `${path}/v1/${signal}`;
  return url;
}
