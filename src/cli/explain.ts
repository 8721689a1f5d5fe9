import { isIP } from 'node:net';
import { loadConfig } from '../config/load.js';
import { parseHostPort, ValueError } from '../config/values.js';
import type { Explanation } from '../policy/explain.js';
import { explain } from '../policy/explain.js';
import type { Command } from './usage.js';
import { configFile, parseArguments, print, UsageError } from './usage.js';

/** Text for people: the answer first, then the steps that lead to it. */
export function formatExplanation(explanation: Explanation): string {
  const { destination, listener, verdict, reason, service, endpoints, steps } = explanation;
  const numbered = steps.map((step, index) => `  ${index + 1}. ${step}`);
  return [
    verdict === reason ? `${destination}: ${verdict}` : `${destination}: ${verdict} (${reason})`,
    `  listener   ${listener ?? 'none'}`,
    `  service    ${service ?? 'none'}`,
    `  endpoints  ${endpoints.length === 0 ? 'none' : endpoints.join(', ')}`,
    ...(numbered.length === 0 ? [] : ['Why:', ...numbered]),
  ].join('\n');
}

export const explainCommand: Command = {
  help: `Usage: sluice explain -c FILE [--listener NAME] [--from ADDRESS] [--identity NAME] [--json] HOST:PORT

Says, without any traffic, which listener takes a connection to HOST:PORT, whether its protocol is detected, which
service it goes to, and why.

Options:
  -c, --config FILE   the configuration
      --listener NAME a listener with originalDestination to which the connection is redirected (default: the listener
                      at that address, or else the first with originalDestination)
      --from ADDRESS  the client's address, for the rules of authorization
      --identity NAME the name in the client's certificate (default: no certificate)
      --json          one JSON object instead of text
  -h, --help          this text

Examples:
  sluice explain -c sluice.yaml 10.0.0.7:5432      why is this opaque?
  sluice explain -c sluice.yaml '[::1]:8080'
  sluice explain -c sluice.yaml --json 10.0.0.7:80 | jq -r .verdict
  sluice explain -c sluice.yaml --listener outbound 10.0.0.7:80
  sluice explain -c sluice.yaml --from 10.1.2.3 --identity spiffe://example.org/ns/shop/sa/web 10.0.0.7:80

Exit codes: 0 explained, 1 bad configuration, 2 wrong usage.`,
  async run(args) {
    const options = {
      config: { type: 'string', short: 'c' },
      listener: { type: 'string' },
      from: { type: 'string' },
      identity: { type: 'string' },
      json: { type: 'boolean' },
    } as const;
    const { values, positionals } = parseArguments(args, options, 1);
    const file = configFile(values);
    const { host, port } = destination(positionals[0]);
    const config = loadConfig(file, process.env);
    const through = typeof values.listener === 'string' ? values.listener : null;
    const from = typeof values.from === 'string' ? values.from : null;
    if (from !== null && isIP(from) === 0) throw new UsageError(`--from: "${from}" is not a numeric address`);
    const identity = typeof values.identity === 'string' ? values.identity : null;
    const explanation = explain(config, host, port, {}, through, { from, identity });
    print(values.json === true ? JSON.stringify(explanation) : formatExplanation(explanation));
    return 0;
  },
};

function destination(text: string | undefined): { host: string; port: number } {
  if (text === undefined) throw new UsageError('which destination? add HOST:PORT');
  try {
    const parsed = parseHostPort(text, '10.0.0.7:5432');
    if (parsed.host === '') throw new ValueError(`"${text}" has no host; write "127.0.0.1${text}"`);
    return parsed;
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(error.message);
    throw error;
  }
}
