import type { LabApi } from '../../scripts/kubernetes/api.ts';

/** Counters of the API server, by what they count. */
export interface ApiCounters {
  /** Requests by verb and resource, such as `PUT sessions`. */
  readonly requests: ReadonlyMap<string, number>;
  /** Bytes of the database. */
  readonly databaseBytes: number;
}

const REQUESTS = /^apiserver_request_total\{([^}]*)\} (\S+)$/gm;
const DATABASE = /^apiserver_storage_size_bytes\{[^}]*\} (\S+)$/m;

export async function readCounters(api: LabApi): Promise<ApiCounters> {
  const { text } = await api.call('GET', '/metrics');
  const requests = new Map<string, number>();
  for (const [, labels = '', value] of text.matchAll(REQUESTS)) {
    const of = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const resource = of('resource');
    // What the API server asks of itself has none of these.
    if (!['sessions', 'leases', 'pods'].includes(resource)) continue;
    const sub = of('subresource');
    const key = `${of('verb')} ${resource}${sub ? `/${sub}` : ''}`;
    requests.set(key, (requests.get(key) ?? 0) + Number(value));
  }
  return { requests, databaseBytes: Number(DATABASE.exec(text)?.[1] ?? Number.NaN) };
}

/** Requests a second of each kind between two readings, the most first. */
export function perSecond(before: ApiCounters, after: ApiCounters, seconds: number): [kind: string, rate: number][] {
  return [...after.requests]
    .map(([kind, count]): [string, number] => [kind, (count - (before.requests.get(kind) ?? 0)) / seconds])
    .filter(([, rate]) => rate > 0)
    .toSorted(([, a], [, b]) => b - a);
}
