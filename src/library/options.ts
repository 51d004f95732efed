import type { CamelCase, Config } from '../config/config.ts';
import { loadOptions } from '../config/load.ts';
import type { Settings } from '../config/settings.ts';
import { GloveboxError } from '../errors.ts';

/** Settings of servers, which do not apply to the library. */
const OF_SERVERS = [
  'host',
  'port',
  'also_ports',
  'allowed_hosts',
  'allowed_origins',
  'requests_per_minute',
  'auth',
  'jwt_issuer',
  'jwt_audience',
  'jwt_owner_claim',
  'public_url',
  'api_keys_file',
  'first_key',
  'approval_webhook',
  'approval_webhook_secret',
  'default_session',
  'task_after_s',
  'keep_while',
  'control_base',
  'proxy_socket',
  'state',
  'lease_s',
  'peer_port',
  'peer_address',
  'url',
  'key',
] as const satisfies readonly (keyof Settings)[];

type LibrarySettings = Omit<Settings, (typeof OF_SERVERS)[number]>;

/** Settings of sandboxes, executions, sessions, packages and folders, described in docs/settings.md. */
export type SettingOptions = {
  readonly [K in keyof LibrarySettings as CamelCase<K>]?: LibrarySettings[K] | undefined;
};

/** Options for opening a Glovebox. */
export interface GloveboxOptions extends SettingOptions {
  /** Called with each step of the set-up. It takes minutes if the sandbox image must be built. */
  readonly onProgress?: ((message: string) => void) | undefined;
  /** Cancels the opening. */
  readonly signal?: AbortSignal | undefined;
}

const OWN = ['onProgress', 'signal'];
/** Defaults that differ from the server's: a library neither changes the machine nor logs unasked. */
const DEFAULTS = { setup: 'never', logLevel: 'warn' };

/** Reads the options. @throws GloveboxError `invalid_input` for an option that is unknown, invalid or contradictory */
export function readOptions(options: GloveboxOptions): Config {
  if (typeof options !== 'object' || options === null) {
    throw new GloveboxError('invalid_input', 'The options of Glovebox.open are no object.', {
      hint: "Write them as Glovebox.open({ image: 'slim', memoryMb: 512 }).",
    });
  }
  const { onProgress, signal: _signal, ...settings } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new GloveboxError('invalid_input', 'onProgress is no function.', {
      hint: 'Give it a function that takes a message, or leave it out.',
    });
  }
  for (const name of Object.keys(settings)) refuseServers(name);
  const config = loadOptions({ ...DEFAULTS, ...withoutUndefined(settings) }, OWN);
  if (config.onShutdown === 'keep' && config.instance === undefined) {
    throw new GloveboxError('invalid_input', 'onShutdown is "keep", and no instance is named.', {
      hint: 'Name it, as in { onShutdown: "keep", instance: "my-app" }: the next one of that name finds the sessions.',
    });
  }
  return config;
}

function refuseServers(option: string): void {
  const isOfServers = OF_SERVERS.some((name) => name.replaceAll('_', '') === option.toLowerCase());
  if (isOfServers) {
    throw new GloveboxError('invalid_input', `${option} is a setting of servers, and the library listens to nobody.`, {
      hint: 'Leave it out, or start a server: glovebox serve.',
    });
  }
}

function withoutUndefined(options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
