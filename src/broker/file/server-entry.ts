import { z } from 'zod';

/** Largest time limit of one call, in seconds. */
const LONGEST_S = 3600;
const MIB = 1024 * 1024;
/** Largest `max_result_bytes`: an answer is held in memory more than once. */
const MOST_RESULT_BYTES = 256 * MIB;

const words = z.record(z.string(), z.string());
const globs = z.array(z.string().min(1).max(256)).max(1000);
const count = (most: number) => z.int().min(1).max(most);
const policy = z.enum(['never', 'writes', 'always']);

/** Whether a person is asked before a call. */
export type ApprovalPolicy = z.infer<typeof policy>;

const common = {
  description: z.string().max(500).optional(),
  default: z.boolean().default(false),
  trusted: z.boolean().default(false),
  disabled: z.boolean().default(false),
  credentials: z.enum(['shared', 'owner']).default('shared'),
  owners: z.array(z.string().min(1).max(64)).default([]),
  allow: globs.default(['*']),
  deny: globs.default([]),
  approve: z.union([policy, z.record(z.string().min(1).max(256), policy)]).default('writes'),
  timeout_s: z.number().positive().max(LONGEST_S).default(60),
  max_calls: count(100_000).default(200),
  max_concurrent: count(64).default(8),
  max_result_bytes: count(MOST_RESULT_BYTES).default(8 * MIB),
  rate: count(1_000_000).optional(),
  pin: z
    .record(z.string(), z.string().regex(/^sha256-[0-9a-f]{64}$/, 'no "sha256-" with 64 hexadecimal digits'))
    .optional(),
};

const TRANSPORTS = ['http', 'streamable-http', 'sse', 'stdio'] as const;
const transport = z.enum(TRANSPORTS).optional();

/** Fields of an entry of `mcpServers`, whichever its kind. */
export const entrySchema = z.strictObject({
  ...common,
  transport,
  // What the files of other programs call it.
  type: transport,
  url: z.string().min(1).optional(),
  headers: words.default({}),
  command: z.string().min(1).optional(),
  args: z.array(z.string()).default([]),
  env: words.default({}),
  cwd: z.string().min(1).optional(),
});

export const ENTRY_FIELDS: readonly string[] = Object.keys(entrySchema.shape);

type Entry = z.infer<typeof entrySchema>;

/** How a server is reached. Texts have their placeholders still. */
export type Access =
  | { readonly kind: 'http' | 'sse' | 'auto'; readonly url: string; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly kind: 'stdio';
      readonly command: string;
      readonly args: readonly string[];
      readonly env: Readonly<Record<string, string>>;
      readonly cwd?: string;
    };

/** One server of the file, checked. */
export interface ToolServer {
  readonly name: string;
  readonly description: string;
  readonly isDefault: boolean;
  /** Whether what the server says of its tools, as that one only reads, is believed. */
  readonly trusted: boolean;
  readonly access: Access;
  readonly credentials: 'shared' | 'owner';
  readonly owners: readonly string[];
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly approve: ApprovalPolicy | Readonly<Record<string, ApprovalPolicy>>;
  readonly timeoutMs: number;
  readonly maxCalls: number;
  readonly maxConcurrent: number;
  readonly maxResultBytes: number;
  /** Calls of one owner in a minute. */
  readonly rate?: number;
  /** Hashes of tools as they must be. */
  readonly pin?: Readonly<Record<string, string>>;
}

/** Makes a server of its entry. The entry says how it is reached, or that is a fault. */
export function toServer(name: string, entry: Entry): ToolServer | { readonly fault: string } {
  const access = accessOf(entry);
  if ('fault' in access) return access;
  const { description = '', default: isDefault, trusted, credentials, owners, allow, deny, approve, rate, pin } = entry;
  return {
    ...{ name, description: description.replace(/\s+/g, ' ').trim(), isDefault, trusted, access },
    ...{ credentials, owners, allow, deny, approve },
    timeoutMs: entry.timeout_s * 1000,
    maxCalls: entry.max_calls,
    maxConcurrent: entry.max_concurrent,
    maxResultBytes: entry.max_result_bytes,
    ...(rate === undefined ? {} : { rate }),
    ...(pin === undefined ? {} : { pin }),
  };
}

function accessOf(entry: Entry): Access | { readonly fault: string } {
  const { url, command, headers, args, env, cwd } = entry;
  if (entry.transport && entry.type && entry.transport !== entry.type)
    return { fault: 'its transport and type differ' };
  const said = entry.transport ?? entry.type;
  if (url !== undefined && command !== undefined) return { fault: 'it has both a url and a command' };
  if (url !== undefined) {
    if (said === 'stdio') return { fault: 'its transport is stdio, which takes a command and no url' };
    if (args.length > 0 || Object.keys(env).length > 0 || cwd !== undefined)
      return { fault: 'it has a url, and args, env and cwd belong to a command' };
    const kind = said === undefined ? 'auto' : said === 'sse' ? 'sse' : 'http';
    return { kind, url, headers };
  }
  if (command === undefined) return { fault: 'it has neither a url nor a command' };
  if (said !== undefined && said !== 'stdio') return { fault: `its transport is ${said}, which takes a url` };
  if (Object.keys(headers).length > 0) return { fault: 'it has a command, and headers belong to a url' };
  return { kind: 'stdio', command, args, env, ...(cwd === undefined ? {} : { cwd }) };
}
