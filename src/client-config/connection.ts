import { KEY_VARIABLE } from '../config/client-places.ts';

/** How a client reaches Glovebox: by starting it, or at the address of a server that runs. */
export type Connection =
  | {
      readonly kind: 'stdio';
      readonly command: string;
      readonly args: readonly string[];
      /** Variables that clients would not pass on by themselves. */
      readonly env: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'http';
      /** Address of the endpoint, with `/mcp`. */
      readonly url: string;
      /** Whether the server asks for a key. */
      readonly asksForKey: boolean;
    };

export type StdioConnection = Extract<Connection, { kind: 'stdio' }>;
export type HttpConnection = Extract<Connection, { kind: 'http' }>;

/** The variable as shells name it. */
export const IN_BRACES = `\${${KEY_VARIABLE}}`;
/** The variable as editors name it. */
export const OF_ENVIRONMENT = `\${env:${KEY_VARIABLE}}`;

/** Name and arguments of the package that connects clients without HTTP to a server. Its version is the one that is tested. */
const BRIDGE = ['npx', '-y', 'mcp-remote@0.15.1'] as const;

/** What a configuration has below the name of a server. */
export type Entry = Readonly<Record<string, unknown>>;

/** `{command, args, env}`, as most clients have it. */
export function commandEntry({ command, args, env }: StdioConnection): Entry {
  return { command, args: [...args], ...(Object.keys(env).length > 0 ? { env: { ...env } } : {}) };
}

/** `{headers}` with the key, in the client's own way to name a variable. Empty if no key is asked for. */
export function keyHeaders({ asksForKey }: HttpConnection, variable: string): Entry {
  return asksForKey ? { headers: { Authorization: `Bearer ${variable}` } } : {};
}

/** A bridge from stdio to HTTP, for clients whose file knows commands only. The key cannot be named there by a variable. */
export function bridgeEntry({ url, asksForKey }: HttpConnection): Entry {
  const [command, ...args] = BRIDGE;
  const insecure = url.startsWith('http:') ? ['--allow-http'] : [];
  return {
    command,
    args: [...args, url, ...insecure, ...(asksForKey ? ['--header', `Authorization:\${AUTHORIZATION}`] : [])],
    ...(asksForKey ? { env: { AUTHORIZATION: 'Bearer YOUR_KEY' } } : {}),
  };
}
