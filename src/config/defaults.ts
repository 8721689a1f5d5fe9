// What a service is like of which nothing is configured: the defaults, and nothing else.
import * as v from 'valibot';
import { buildConfig } from './build.js';
import type { ServiceConfig } from './model.js';
import { configSchema } from './schema.js';

export function defaultService(name: string): ServiceConfig {
  const address = '127.0.0.1:1';
  const written = {
    listeners: [{ name, listen: address, service: name }],
    services: { [name]: { endpoints: [address] } },
  };
  return buildConfig('-', v.parse(configSchema, written), written).services[0];
}
