// Where a collector is, as OTEL_EXPORTER_OTLP_ENDPOINT has it: `http://collector:4318`; the path of the signal is added.

export type Signal = 'metrics' | 'traces';

/** The address that `signal` is posted to. Throws an Error that says what is wrong with `text`. */
export function otlpUrl(text: string, signal: Signal): URL {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new Error(`"${text}" is not the address of a collector; write it like http://127.0.0.1:4318`);
  const url = new URL(text);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith(`/v1/${signal}`) ? path : `${path}/v1/${signal}`;
  return url;
}
