import { readFileSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';

const YEAR_S = 31_536_000;

/** A number from text or a number; units are in the setting's name. */
const number = z.coerce.number({ error: ({ code }) => (code === 'invalid_type' ? 'this is not a number' : undefined) });
const whole = (least: number, most: number) => number.int().min(least).max(most);
const list = z
  .union([z.string(), z.array(z.string())])
  .transform((value) =>
    (typeof value === 'string' ? value.split(',') : value).map((item) => item.trim()).filter(Boolean),
  );

/** Package names with specifiers: a comma within `name>=2,<3` separates nothing. */
const requirements = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? value.split(/,(?=\s*[A-Za-z0-9])/) : value))
  .transform((items) => items.map((item) => item.trim()).filter(Boolean));

const HIGHEST_PORT = 65_535;
const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= HIGHEST_PORT;
/** Numbers separated by commas, or a list of them. */
const ports = z
  .union([z.string(), z.number(), z.array(z.union([z.string(), z.number()]))])
  .transform((value) =>
    Array.isArray(value)
      ? value
      : String(value)
          .split(',')
          .filter((item) => item.trim() !== ''),
  )
  .transform((items) => items.map(Number))
  .refine((numbers) => numbers.every(isPort), {
    message: `not numbers from 1 to ${HIGHEST_PORT}, separated by commas`,
  });

/** Dotted names of Python modules; the words alone are no names of modules. */
const preload = list
  .refine((names) => names.every((name) => /^[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99})*$/.test(name)), {
    message: 'not "adaptive", "none" or names of modules such as pandas,matplotlib.pyplot',
  })
  .refine((names) => names.length <= 100, { message: 'more than 100 names' })
  .refine((names) => names.length === 1 || !names.some((name) => name === 'adaptive' || name === 'none'), {
    message: '"adaptive" and "none" stand alone',
  })
  .transform((names) => {
    const [first] = names;
    return first === 'adaptive' || first === 'none' ? first : first === undefined ? 'none' : names;
  });

/**
 * Every setting, once. `exec_timeout_s` is `GLOVEBOX_EXEC_TIMEOUT_S` in the environment,
 * `--exec-timeout-s` as a flag and `exec_timeout_s` in the configuration file.
 */
const settings = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
  port: whole(0, HIGHEST_PORT).default(8000).describe('Port to listen on; 0 picks a free one.'),
  also_ports: ports.default([]).describe('More ports of the same server, separated by commas.'),
  image: z
    .string()
    .min(1)
    .default('data')
    .describe('Sandbox image: "data", "slim", or the reference of an image built from sandbox-image/.'),
  base: z
    .string()
    .min(1)
    .default('python:3.13-slim')
    .describe('Image that the sandbox image is built from: Python 3.12 to 3.15, with pip.'),
  control_base: z
    .string()
    .min(1)
    .default('node:24-slim')
    .describe('Image that the image of the control plane is built from.'),
  runtime: z.string().min(1).optional().describe("The engine's OCI runtime, for example runsc."),
  setup: z
    .enum(['auto', 'never'])
    .default('auto')
    .describe('Whether a missing engine, or tools to make the base image, may be installed.'),
  exec_timeout_s: number.positive().max(86_400).default(30).describe('Time limit of an execution that names none.'),
  install_timeout_s: number
    .positive()
    .max(86_400)
    .default(60)
    .describe('Time limit of an installation that names none.'),
  max_timeout_s: number.positive().max(604_800).default(3600).describe('Highest time limit that a call may ask for.'),
  memory_mb: whole(64, 1_048_576).default(1024).describe('Memory of a sandbox, its files included.'),
  cpus: number.min(0.01).max(1024).default(1).describe('Processors of a sandbox.'),
  pids: whole(16, 32_768).default(128).describe('Processes and threads of a sandbox.'),
  disk_mb: whole(1, 1_048_576)
    .optional()
    .describe("Size of a session's workspace; by default 512, or half of memory_mb if that is less."),
  concurrency: whole(1, 64).default(4).describe('Executions that may run at once in one session.'),
  output_limit: whole(1024, 16_777_216)
    .default(65_536)
    .describe('Bytes of stdout, and of stderr, that a result carries.'),
  output_keep_limit: whole(0, 1_073_741_824)
    .default(33_554_432)
    .describe('Bytes of each longer stream that are kept in a file of the session; at most an eighth of its disk.'),
  result_limit: whole(1024, 16_777_216)
    .default(1_048_576)
    .describe('Bytes of one rich result, such as a plot; four times as many in one execution.'),
  code_limit: whole(1024, 67_108_864)
    .default(1_048_576)
    .describe('Bytes of code, of stdin, and of a file written by write_file, that a call may send.'),
  idle_ttl_s: number
    .positive()
    .max(YEAR_S)
    .default(1800)
    .describe('A session unused for so long is closed, or hibernated if it may be.'),
  hibernate_after_s: number
    .min(0)
    .max(YEAR_S)
    .default(300)
    .describe('A session unused for so long becomes an archive without a container; 0, or idle_ttl_s or more: never.'),
  archive_ttl_s: number
    .positive()
    .max(YEAR_S * 100)
    .default(604_800)
    .describe('The archive of a session that is not used again is removed after so long.'),
  max_hibernated_per_owner: whole(1, 1_000_000)
    .default(1000)
    .describe('Archives of unused sessions that one owner may have; the least recently used one goes first.'),
  archive_mb: whole(1, 1_048_576 * 64)
    .default(10_240)
    .describe('Disk of the control plane for all archives, checkpoints and snapshots.'),
  checkpoint_after_s: number
    .min(0)
    .max(3600)
    .default(5)
    .describe(
      'What an execution changed is in a checkpoint, which a lost container comes back from, within so long; 0: never.',
    ),
  max_lifetime_s: whole(10, YEAR_S).default(86_400).describe('A session that has been awake for so long is closed.'),
  max_sessions: whole(1, 100_000).default(100).describe('Sessions with a container in all.'),
  max_sessions_per_owner: whole(1, 100_000).default(50).describe('Sessions with a container of one owner.'),
  max_executions: whole(1, 100_000)
    .optional()
    .describe('Executions at once in all; by default 8 for each processor of this machine.'),
  max_executions_per_owner: whole(1, 100_000)
    .optional()
    .describe('Executions at once of one owner; by default a quarter of max_executions where keys are asked for.'),
  max_waiting_per_owner: whole(0, 100_000).default(100).describe('Executions of one owner that may wait for a place.'),
  max_memory_mb: whole(64, 1_073_741_824)
    .optional()
    .describe('Memory of all sandboxes together, pooled ones included; unlimited by default.'),
  max_memory_mb_per_owner: whole(64, 1_073_741_824)
    .optional()
    .describe('Memory of all sandboxes of one owner; unlimited by default.'),
  requests_per_minute: whole(0, 1_000_000).default(0).describe('HTTP requests of one owner; 0 sets no limit.'),
  pool_size: whole(0, 1000).default(2).describe('Sandboxes kept ready for new sessions.'),
  pool_max: whole(0, 1000)
    .optional()
    .describe('The pool grows up to so many, as demand of late was; by default it does not grow.'),
  preload: preload
    .default('adaptive')
    .describe(
      'Modules of the image that code finds loaded: names, "none", or "adaptive", those that the session has imported.',
    ),
  default_session: z.enum(['new', 'owner']).optional().describe('What a call that names no session gets.'),
  on_shutdown: z
    .enum(['remove', 'keep'])
    .default('remove')
    .describe('Whether a stopping server removes its sessions or leaves them for the next.'),
  keep_while: z
    .string()
    .min(1)
    .optional()
    .describe('A container on the same engine; sessions are kept at a shutdown only if it runs then.'),
  proxy_socket: z
    .string()
    .min(1)
    .default('/run/glovebox/engine.sock')
    .describe('Where the socket proxy listens for the control plane.'),
  auth: z
    .enum(['none', 'keys'])
    .optional()
    .describe('Who may call over HTTP: anyone, or holders of a key; "none" must be said to listen beyond loopback.'),
  api_keys_file: z.string().min(1).optional().describe('Where keys are kept; by default keys.json in state_dir.'),
  first_key: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/, 'letters, digits, "_" and "-", not beginning with "-"')
    .optional()
    .describe('Owner for whom a server that asks for keys makes the first, and prints it, when there is none.'),
  allowed_hosts: list.default([]).describe('Host names, besides loopback ones, that requests may be addressed to.'),
  allowed_origins: list.default([]).describe('Browser origins, besides loopback ones, that may call.'),
  state_dir: z
    .string()
    .min(1)
    .optional()
    .describe('Where manifests, locks, archives and keys are kept; by default glovebox in the XDG state directory.'),
  instance: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'lower-case letters, digits, - and _')
    .optional()
    .describe('Name of this server among those that share the engine.'),
  index_url: list
    .optional()
    .describe('Package indexes, the first that has a project wins: URLs, file:// or folders; default: what pip uses.'),
  packages_allow: requirements
    .default([])
    .describe('Packages that may be installed, as "name" or "name>=1.2"; all by default.'),
  packages_deny: requirements.default([]).describe('Packages that may not be installed, as "name" or "name<2".'),
  packages_sdists: z
    .enum(['allow', 'deny'])
    .default('deny')
    .describe('Whether source packages may be built; their code then runs in the sandbox.'),
  cache_dir: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Where downloaded packages are kept for all sessions; by default glovebox/packages in the XDG cache directory.',
    ),
  cache_mb: whole(1, 1_048_576).default(4096).describe('Size of that folder.'),
  log_level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least severe lines to log.'),
});

type Settings = z.infer<typeof settings>;
type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** How the host reaches the engine and the registries: standard variables, passed on as they are. */
export interface HostEnvironment {
  /** `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`. */
  docker: { host?: string; tlsVerify: boolean; certPath?: string; context?: string; configDir: string };
  /** `XDG_RUNTIME_DIR`, where rootless engines put their sockets. */
  runtimeDir?: string;
  home: string;
  /** The first of `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`, `REQUESTS_CA_BUNDLE` that is set. */
  caFile?: string;
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` in either case, as they were set. */
  proxy: Readonly<Record<string, string>>;
}

/** One frozen object that the whole program is configured by; names as in the settings, in camelCase. */
export type Config = Readonly<
  { [K in keyof Settings as CamelCase<K>]: Exclude<Settings[K], undefined> } & {
    diskMb: number;
    maxExecutions: number;
    maxExecutionsPerOwner: number;
    maxFreshExecutionsPerOwner: number;
    apiKeysFile: string;
    cacheDir: string;
    stateDir: string;
    hostEnvironment: HostEnvironment;
  }
>;

/** Many executions wait for something, but when all of them compute, each should still get on. */
const EXECUTIONS_PER_PROCESSOR = 8;
/** So many owners may have all that one may have, before another waits for a place. */
const OWNERS_AT_FULL_LOAD = 4;

const PREFIX = 'GLOVEBOX_';
/** Read before the settings are: it says where they are. */
const FILE_VARIABLE = 'GLOVEBOX_CONFIG';

/**
 * Settings from the environment, the file named by `GLOVEBOX_CONFIG` or `--config`, and flags; later wins.
 * @throws GloveboxError `invalid_input` that names the setting, where it was set, and the nearest valid name.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, flags: readonly string[] = []): Config {
  const fromFlags = readFlags(flags);
  const file = fromFlags.get('config') ?? env[FILE_VARIABLE];
  fromFlags.delete('config');
  const sources: [string, Map<string, unknown>][] = [
    ['environment', readEnvironment(env)],
    ...(file ? ([['file', readFile(file)]] as [string, Map<string, unknown>][]) : []),
    ['flags', fromFlags],
  ];
  const values: Record<string, unknown> = {};
  const spelled = new Map<string, string>();
  for (const [source, entries] of sources) {
    for (const [name, value] of entries) {
      const written = spell(source, name);
      if (!isSetting(name)) throw unknownSetting(source, name, written);
      values[name] = value;
      spelled.set(name, written);
    }
  }
  const parsed = settings.safeParse(values);
  if (!parsed.success) throw invalidSetting(parsed.error, values, spelled);
  checkListening(parsed.data);
  checkMemory(parsed.data);
  const timeouts = timeoutsWithin(parsed.data, spelled);
  const stateDir = stateDirectory(parsed.data, env);
  return Object.freeze({
    ...camelCased(parsed.data),
    diskMb: parsed.data.disk_mb ?? Math.min(512, Math.floor(parsed.data.memory_mb / 2)),
    ...timeouts,
    ...executionLimits(parsed.data),
    stateDir,
    apiKeysFile: resolve(parsed.data.api_keys_file ?? join(stateDir, 'keys.json')),
    cacheDir: cacheDirectory(parsed.data, env),
    hostEnvironment: hostEnvironment(env),
  }) as Config;
}

/** What must be known before the settings are: how the engine is reached, and the folders that are named. */
export function readPlaces(env: NodeJS.ProcessEnv = process.env): {
  directories: string[];
  hostEnvironment: HostEnvironment;
} {
  const directories = [env[`${PREFIX}STATE_DIR`], env[`${PREFIX}CACHE_DIR`]].filter((path) => path !== undefined);
  return { directories, hostEnvironment: hostEnvironment(env) };
}

export interface SettingDescription {
  readonly variable: string;
  /** Such as `1 to 64`, or `auto|never`; empty where any text will do. */
  readonly allowed: string;
  /** Empty where there is none, or the meaning says it. */
  readonly default: string;
  readonly meaning: string;
}

/** All settings, for `glovebox --help`. */
export function describeSettings(): SettingDescription[] {
  const { properties = {} } = z.toJSONSchema(settings, { unrepresentable: 'any' });
  return Object.entries(settings.shape).map(([name, schema]) => {
    const byDefault: unknown = schema.safeParse(undefined).data;
    return {
      variable: PREFIX + name.toUpperCase(),
      allowed: describeAllowed(properties[name] as z.core.JSONSchema.JSONSchema),
      default: byDefault === undefined ? '' : String(byDefault),
      meaning: schema.description ?? '',
    };
  });
}

function describeAllowed({ enum: words, minimum, exclusiveMinimum, maximum }: z.core.JSONSchema.JSONSchema): string {
  if (words) return words.join('|');
  if (exclusiveMinimum !== undefined) return `above ${exclusiveMinimum}, to ${maximum}`;
  return minimum === undefined ? '' : `${minimum} to ${maximum}`;
}

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

function readEnvironment(env: NodeJS.ProcessEnv): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX) || variable === FILE_VARIABLE || value === undefined || value === '') continue;
    found.set(variable.slice(PREFIX.length).toLowerCase(), value);
  }
  return found;
}

function readFile(path: string): Map<string, unknown> {
  const hint = 'Name a readable JSON file of settings such as {"port": 8000}.';
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The configuration file ${path} cannot be read as JSON.`, { hint, cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new GloveboxError('invalid_input', `The configuration file ${path} holds no object.`, { hint });
  }
  return new Map(Object.entries(parsed));
}

function readFlags(flags: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  const remaining = [...flags];
  for (let argument = remaining.shift(); argument !== undefined; argument = remaining.shift()) {
    const [flag, inline] = splitFlag(argument);
    const name = flag.slice(2).replaceAll('-', '_');
    // Before a value is looked for, which may be missing only because the name is wrong.
    if (name !== 'config' && !isSetting(name)) throw unknownSetting('flags', name, flag);
    const value = inline ?? remaining.shift();
    if (value === undefined) {
      throw new GloveboxError('invalid_input', `${flag} needs a value.`, { hint: `Write it as ${flag} VALUE.` });
    }
    found.set(name, value);
  }
  return found;
}

function splitFlag(argument: string): [flag: string, value: string | undefined] {
  if (!argument.startsWith('--')) {
    throw new GloveboxError('invalid_input', `"${argument}" is not understood here.`, {
      hint: 'Settings are given as --name VALUE; see glovebox --help.',
    });
  }
  const equals = argument.indexOf('=');
  return equals < 0 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

function spell(source: string, name: string): string {
  if (source === 'environment') return PREFIX + name.toUpperCase();
  return source === 'flags' ? `--${name.replaceAll('_', '-')}` : `"${name}" in the configuration file`;
}

function isSetting(name: string): boolean {
  return Object.hasOwn(settings.shape, name);
}

function unknownSetting(source: string, name: string, written: string): GloveboxError {
  const near = nearest(name, Object.keys(settings.shape));
  return new GloveboxError('invalid_input', `${written} is not a setting.`, {
    hint: near ? `Did you mean ${spell(source, near)}?` : 'See glovebox --help for all settings.',
  });
}

function invalidSetting(
  error: z.ZodError,
  values: Record<string, unknown>,
  spelled: Map<string, string>,
): GloveboxError {
  const issue = error.issues[0];
  const name = String(issue?.path[0] ?? '');
  const written = spelled.get(name) ?? PREFIX + name.toUpperCase();
  return new GloveboxError(
    'invalid_input',
    `${written} is ${JSON.stringify(values[name])}: ${describeProblem(name, issue)}.`,
    {
      hint: `${settings.shape[name as keyof Settings]?.description ?? ''} Correct it, or leave it out for the default.`.trim(),
    },
  );
}

/** A number that is one, but not a possible one, is told by its range. */
function describeProblem(name: string, issue: z.core.$ZodIssue | undefined): string {
  const { allowed } = describeSettings().find(({ variable }) => variable === PREFIX + name.toUpperCase()) ?? {};
  if (!allowed || issue === undefined) return issue?.message ?? 'not valid';
  if (issue.code === 'invalid_value') return `it must be ${allowed.replaceAll('|', ' or ')}`;
  if (issue.code !== 'invalid_type') return `it must be ${allowed}`;
  return 'format' in issue ? `it must be a whole number, ${allowed}` : `${issue.message}; it must be ${allowed}`;
}

function checkListening({ host, auth }: Settings): void {
  if (isLoopback(host) || auth !== undefined) return;
  throw new GloveboxError(
    'invalid_input',
    `GLOVEBOX_HOST is ${host}: anyone who reaches that address could run code here.`,
    {
      hint: 'Listen on 127.0.0.1, ask for keys with GLOVEBOX_AUTH=keys, or say GLOVEBOX_AUTH=none if the network before it decides who may call.',
    },
  );
}

/** @throws GloveboxError `invalid_input` for limits that not even one sandbox would fit. */
function checkMemory(parsed: Settings): void {
  for (const name of ['max_memory_mb', 'max_memory_mb_per_owner'] as const) {
    const value = parsed[name];
    if (value === undefined || value >= parsed.memory_mb) continue;
    throw new GloveboxError(
      'invalid_input',
      `${PREFIX}${name.toUpperCase()} is ${value}, and one sandbox may take ${parsed.memory_mb} MiB.`,
      { hint: 'Raise it, or lower GLOVEBOX_MEMORY_MB.' },
    );
  }
}

/** The default time limits, lowered to the highest that there may be; those that were set must be within it. */
function timeoutsWithin({ exec_timeout_s, install_timeout_s, max_timeout_s }: Settings, spelled: Map<string, string>) {
  for (const [name, value] of Object.entries({ exec_timeout_s, install_timeout_s })) {
    const written = spelled.get(name);
    if (!written || value <= max_timeout_s) continue;
    throw new GloveboxError('invalid_input', `${written} is ${value}, above the highest, ${max_timeout_s}.`, {
      hint: `Lower it, or raise ${PREFIX}MAX_TIMEOUT_S.`,
    });
  }
  return {
    execTimeoutS: Math.min(exec_timeout_s, max_timeout_s),
    installTimeoutS: Math.min(install_timeout_s, max_timeout_s),
  };
}

/** Without keys there is one owner, who may have all places. */
function executionLimits({ auth, max_executions, max_executions_per_owner }: Settings) {
  const maxExecutions = max_executions ?? Math.max(1, cpus().length) * EXECUTIONS_PER_PROCESSOR;
  const share = auth === 'keys' ? Math.ceil(maxExecutions / OWNERS_AT_FULL_LOAD) : maxExecutions;
  return {
    maxExecutions,
    maxExecutionsPerOwner: max_executions_per_owner ?? share,
    // As many as there are processors; of an engine elsewhere, all places tell how many that may be.
    maxFreshExecutionsPerOwner: Math.max(2, cpus().length, Math.floor(maxExecutions / EXECUTIONS_PER_PROCESSOR)),
  };
}

function stateDirectory(parsed: Settings, env: NodeJS.ProcessEnv): string {
  if (parsed.state_dir) return resolve(parsed.state_dir);
  return join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state'), 'glovebox');
}

function cacheDirectory(parsed: Settings, env: NodeJS.ProcessEnv): string {
  if (parsed.cache_dir) return resolve(parsed.cache_dir);
  return join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'glovebox', 'packages');
}

function hostEnvironment(env: NodeJS.ProcessEnv): HostEnvironment {
  const home = env['HOME'] || homedir();
  const caFile = env['SSL_CERT_FILE'] || env['NODE_EXTRA_CA_CERTS'] || env['REQUESTS_CA_BUNDLE'];
  const proxy = Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => /^(https?|no)_proxy$/i.test(entry[0]) && Boolean(entry[1]),
    ),
  );
  return {
    docker: {
      tlsVerify: Boolean(env['DOCKER_TLS_VERIFY']),
      configDir: env['DOCKER_CONFIG'] || join(home, '.docker'),
      ...(env['DOCKER_HOST'] ? { host: env['DOCKER_HOST'] } : {}),
      ...(env['DOCKER_CERT_PATH'] ? { certPath: env['DOCKER_CERT_PATH'] } : {}),
      ...(env['DOCKER_CONTEXT'] ? { context: env['DOCKER_CONTEXT'] } : {}),
    },
    home,
    proxy,
    ...(env['XDG_RUNTIME_DIR'] ? { runtimeDir: env['XDG_RUNTIME_DIR'] } : {}),
    ...(caFile ? { caFile } : {}),
  };
}

function camelCased(parsed: Settings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parsed)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}
