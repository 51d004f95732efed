import type { Finding } from '../../lib/finding.ts';
import type { Route } from '../route.ts';
import { jsonResponse } from './openapi-parts.ts';

/** Facts about the server that its callers may know. */
export interface ServerInfo {
  /** Limits of each session and each owner, by the names of their settings. */
  readonly limits: Readonly<Record<string, number>>;
  /** Whether callers need a key. */
  readonly needsKey: boolean;
  /** Size of the package cache now. Undefined if no session has installed anything yet. */
  readonly cacheBytes: () => number | undefined;
  readonly cacheLimitBytes: number;
  /** Protections that sandboxes lack, as the operator allows. */
  readonly missing: () => readonly string[];
  /** Checks what `glovebox doctor` checks, ports aside. */
  readonly examine: () => Promise<readonly Finding[]>;
}

/** Time in milliseconds for which findings are given again, so that callers cannot load the engine with checks. */
const FRESH_MS = 10_000;

const finding = {
  type: 'object',
  properties: {
    level: { enum: ['ok', 'warn', 'fail'] },
    what: { type: 'string' },
    said: { type: 'string' },
    next: { type: 'string', description: 'What to do about it.' },
  },
  required: ['level', 'what', 'said'],
};

/** Routes that describe the server to its callers. */
export function serverInfoRoutes(info: ServerInfo, version: string): Route[] {
  return [describeRoute(info, version), doctorRoute(info)];
}

function describeRoute({ limits, needsKey, cacheBytes, cacheLimitBytes, missing }: ServerInfo, version: string): Route {
  const integer = { type: 'integer' };
  return {
    method: 'GET',
    path: '/server',
    id: 'describeServer',
    tag: 'Server',
    summary: 'Describe this server: who you are to it, its limits, and its package cache.',
    operation: {
      responses: jsonResponse(200, 'The description.', {
        type: 'object',
        properties: {
          version: { type: 'string' },
          owner: {
            type: 'string',
            description: 'The name of your key, or whom your token names; "local" where neither is needed.',
          },
          needs_key: { type: 'boolean' },
          missing: {
            type: 'array',
            items: { type: 'string' },
            description: 'Protections that sandboxes lack, as the operator allows.',
          },
          limits: { type: 'object', additionalProperties: { type: 'number' } },
          package_cache: { type: 'object', properties: { bytes: integer, limit_bytes: integer } },
        },
        required: ['version', 'owner', 'needs_key', 'missing', 'limits', 'package_cache'],
      }),
    },
    forApprovers: true,
    handle: (c) =>
      c.json({
        version,
        owner: c.var.approver?.name ?? c.var.owner,
        needs_key: needsKey,
        limits,
        missing: missing(),
        package_cache: { bytes: cacheBytes(), limit_bytes: cacheLimitBytes },
      }),
  };
}

function doctorRoute({ examine }: ServerInfo): Route {
  let latest: Promise<readonly Finding[]> | undefined;
  let endedAt = 0;
  const check = () => {
    if (latest && (endedAt === 0 || Date.now() - endedAt < FRESH_MS)) return latest;
    endedAt = 0;
    latest = examine().finally(() => {
      endedAt = Date.now();
    });
    return latest;
  };
  return {
    method: 'GET',
    path: '/doctor',
    needs: 'operate',
    id: 'examineServer',
    tag: 'Server',
    summary: 'Check what this server needs, as `glovebox doctor` does. Runs code in a sandbox.',
    operation: {
      responses: jsonResponse(200, 'What was found.', {
        type: 'object',
        properties: { findings: { type: 'array', items: finding } },
        required: ['findings'],
      }),
    },
    handle: async (c) => {
      const findings = await check();
      return c.json({ findings: findings.map(([level, what, said, next]) => ({ level, what, said, next })) });
    },
  };
}
