import { z } from 'zod';

/** Hosts and refusals that the text names. */
const MOST_NAMED = 10;
const MIB = 2 ** 20;

/** What code did on other hosts: field of the output of an execution. */
export const webOutput = z
  .object({
    hosts: z
      .array(
        z.object({
          ...{ host: z.string(), port: z.number().int() },
          requests: z.number().int().describe('Requests; a connection with TLS end to end counts as one.'),
          ...{ bytes_in: z.number().int(), bytes_out: z.number().int() },
        }),
      )
      .describe('Hosts that it reached; at most 100.'),
    refused: z
      .array(
        z.object({
          ...{ host: z.string(), port: z.number().int() },
          ...{ rule: z.enum(['host', 'port', 'address', 'secret', 'limit']), message: z.string() },
        }),
      )
      .describe('What it was refused, each host and rule once; at most 20.'),
  })
  .optional()
  .describe('What it did on other hosts.');

/** Describes the use of other hosts in a few lines. */
export function describeWeb(web: z.infer<typeof webOutput>): string[] {
  if (!web) return [];
  const hosts = web.hosts.slice(0, MOST_NAMED).map(({ host, port, requests, bytes_in, bytes_out }) => {
    return `${host}:${port} (${requests} requests, ${size(bytes_in)} in, ${size(bytes_out)} out)`;
  });
  const more = web.hosts.length > MOST_NAMED ? [`and ${web.hosts.length - MOST_NAMED} more`] : [];
  return [
    ...(hosts.length > 0 ? [`[web] ${[...hosts, ...more].join(', ')}`] : []),
    ...web.refused.slice(0, MOST_NAMED).map(({ message }) => `[web refused] ${message}`),
  ];
}

function size(bytes: number): string {
  return bytes < MIB ? `${bytes} bytes` : `${(bytes / MIB).toFixed(1)} MiB`;
}
