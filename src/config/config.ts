import { cpus, homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { GloveboxError } from '../errors.ts';
import { hasOwners, takesTokens } from '../lib/login/auth-kind.ts';
import { cacheHome, type HostEnvironment, hostEnvironment } from './host-environment.ts';
import type { Settings } from './settings.ts';

/** Name of a setting in code: `execTimeoutS` for `exec_timeout_s`. */
export type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** Configuration of the whole program, frozen. Names are those of the settings, in camelCase. */
export type Config = Readonly<
  { [K in keyof Settings as CamelCase<K>]: Exclude<Settings[K], undefined> } & {
    diskMb: number;
    kubernetesCpuRequest: number;
    kubernetesMemoryRequestMb: number;
    maxExecutions: number;
    maxExecutionsPerOwner: number;
    maxFreshExecutionsPerOwner: number;
    apiKeysFile: string;
    cacheDir: string;
    stateDir: string;
    hostEnvironment: HostEnvironment;
  }
>;

/** Executions per processor. Many executions wait, but if all of them compute, each must still make progress. */
const EXECUTIONS_PER_PROCESSOR = 8;
/**
 * Times that a sandbox may use what a scheduler reserves for it. Most sessions wait most of the time, with an interpreter
 * in memory.
 */
const CPUS_PER_REQUEST = 10;
const MEMORY_PER_REQUEST = 4;
/** Number of owners who can use all of their places before another owner waits. */
const OWNERS_AT_FULL_LOAD = 4;

/** Source of settings. */
export interface Origin {
  /** Name that the caller used for each setting. */
  readonly spelled: ReadonlyMap<string, string>;
  /** Returns how the source spells a setting. */
  readonly style: (name: string) => string;
  readonly env: NodeJS.ProcessEnv;
}

/** Returns the name of a setting for messages. */
type Spell = (name: keyof Settings) => string;

/**
 * Checks settings against each other, and adds values computed from them and from the machine.
 * @throws GloveboxError `invalid_input` where two settings contradict each other
 */
export function completeConfig(parsed: Settings, { spelled, style, env }: Origin): Config {
  const spell = (name: keyof Settings) => spelled.get(name) ?? style(name);
  checkListening(parsed);
  checkLogin(parsed, spell);
  checkState(parsed, spell, spelled.has('archives'));
  checkMemory(parsed, spell);
  const requests = requestsWithin(parsed, spell);
  const timeouts = timeoutsWithin(parsed, spelled, spell);
  const stateDir = stateDirectory(parsed, env);
  return Object.freeze({
    ...camelCased(parsed),
    diskMb: parsed.disk_mb ?? Math.min(512, Math.floor(parsed.memory_mb / 2)),
    ...requests,
    ...timeouts,
    ...executionLimits(parsed),
    stateDir,
    apiKeysFile: resolve(parsed.api_keys_file ?? join(stateDir, 'keys.json')),
    cacheDir: cacheDirectory(parsed, env),
    hostEnvironment: hostEnvironment(env),
  }) as Config;
}

/** Whether an address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
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

/** @throws GloveboxError `invalid_input` where callers are to log in, and it is not said where */
function checkLogin({ auth, host, jwt_issuer, public_url }: Settings, spell: Spell): void {
  if (!takesTokens(auth)) return;
  if (jwt_issuer === undefined) {
    throw new GloveboxError('invalid_input', `${spell('auth')} is ${auth}, and no identity provider is named.`, {
      hint: `Set ${spell('jwt_issuer')} to the URL that "iss" of its tokens has.`,
    });
  }
  if (public_url !== undefined || isLoopback(host)) return;
  throw new GloveboxError(
    'invalid_input',
    `${spell('auth')} is ${auth}, and clients cannot be told where this server is.`,
    {
      hint: `Set ${spell('public_url')} to the URL by which they reach it, such as https://box.example.`,
    },
  );
}

/**
 * @param saysArchives whether it is said where archives are
 * @throws GloveboxError `invalid_input` where the state is to be in a cluster that is not used, or other servers would not
 * see the archives of this one, and nobody said that they need not
 */
function checkState({ state, engine }: Settings, spell: Spell, saysArchives: boolean): void {
  if (state === 'directory') return;
  if (engine !== 'kubernetes')
    throw new GloveboxError('invalid_input', `${spell('state')} is ${state}, and ${spell('engine')} is ${engine}.`, {
      hint: `Several servers share their sessions in a cluster only: set ${spell('engine')} to kubernetes, or leave ${spell('state')} out.`,
    });
  if (saysArchives) return;
  throw new GloveboxError(
    'invalid_input',
    `${spell('state')} is ${state}, and ${spell('archives')} names no bucket: what one server saves of its sessions, the others would not see.`,
    {
      hint: `Set ${spell('archives')} to a bucket such as s3://bucket/prefix. If files of sessions may be lost with a server, say ${spell('archives')}=directory.`,
    },
  );
}

/** @throws GloveboxError `invalid_input` for limits that not even one sandbox would fit. */
function checkMemory(parsed: Settings, spell: Spell): void {
  for (const name of ['max_memory_mb', 'max_memory_mb_per_owner'] as const) {
    const value = parsed[name];
    if (value === undefined || value >= parsed.memory_mb) continue;
    throw new GloveboxError(
      'invalid_input',
      `${spell(name)} is ${value}, and one sandbox may take ${parsed.memory_mb} MiB.`,
      { hint: `Raise it, or lower ${spell('memory_mb')}.` },
    );
  }
}

/**
 * Returns what a scheduler reserves for a sandbox.
 * @throws GloveboxError `invalid_input` for more than a sandbox may use, which no cluster accepts
 */
function requestsWithin(parsed: Settings, spell: Spell) {
  for (const [request, limit] of [
    ['kubernetes_cpu_request', 'cpus'],
    ['kubernetes_memory_request_mb', 'memory_mb'],
  ] as const) {
    const value = parsed[request];
    if (value === undefined || value <= parsed[limit]) continue;
    throw new GloveboxError(
      'invalid_input',
      `${spell(request)} is ${value}, and a sandbox may use ${parsed[limit]} at most.`,
      { hint: `Lower it, or raise ${spell(limit)}.` },
    );
  }
  return {
    kubernetesCpuRequest: parsed.kubernetes_cpu_request ?? parsed.cpus / CPUS_PER_REQUEST,
    kubernetesMemoryRequestMb: parsed.kubernetes_memory_request_mb ?? Math.ceil(parsed.memory_mb / MEMORY_PER_REQUEST),
  };
}

/** Returns the time limits. Defaults are lowered to the highest allowed limit; values that were set must not exceed it. */
function timeoutsWithin(
  { exec_timeout_s, install_timeout_s, max_timeout_s }: Settings,
  spelled: ReadonlyMap<string, string>,
  spell: Spell,
) {
  for (const [name, value] of Object.entries({ exec_timeout_s, install_timeout_s })) {
    const written = spelled.get(name);
    if (!written || value <= max_timeout_s) continue;
    throw new GloveboxError('invalid_input', `${written} is ${value}, above the highest, ${max_timeout_s}.`, {
      hint: `Lower it, or raise ${spell('max_timeout_s')}.`,
    });
  }
  return {
    execTimeoutS: Math.min(exec_timeout_s, max_timeout_s),
    installTimeoutS: Math.min(install_timeout_s, max_timeout_s),
  };
}

/** Returns the places of one owner. Without owners of keys or tokens there is only one owner, who may have all places. */
function executionLimits({ auth, max_executions, max_executions_per_owner }: Settings) {
  const maxExecutions = max_executions ?? Math.max(1, cpus().length) * EXECUTIONS_PER_PROCESSOR;
  const share = hasOwners(auth) ? Math.ceil(maxExecutions / OWNERS_AT_FULL_LOAD) : maxExecutions;
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
  return join(cacheHome(env), 'glovebox', 'packages');
}

function camelCased(parsed: Settings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parsed)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [camelCase(name), value]),
  );
}

/** Converts a name: `execTimeoutS` for `exec_timeout_s`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
