import type { Secrets } from '../../secrets/secrets.ts';
import type { Access, ToolServer } from '../file/server-entry.ts';
import { ToolFailure } from '../types.ts';
import { fillIn, secretsNamedIn } from './placeholders.ts';

/** Names of headers, variables and parameters whose values are credentials by all appearance. */
const SENSITIVE = /auth|key|token|secret|passw|cookie|credential|signature/i;
/** Largest part of a URL that is no credential. */
const SHORTEST = 8;

/**
 * Fills in the secrets of a server: those of the owner if the server asks for them, or else shared ones.
 * @throws ToolFailure `denied` that names the first one that is not set, and what sets it
 */
export function accessFor(server: ToolServer, owner: string, secrets: Secrets): Access {
  const whose = server.credentials === 'owner' ? owner : undefined;
  const fill = (text: string) =>
    fillIn(text, (name) => {
      const value = secrets.valueOf(name, whose);
      if (value === undefined) throw missing(server.name, name, whose);
      return value;
    });
  const { access } = server;
  if (access.kind === 'stdio') return { ...access, args: access.args.map(fill), env: mapValues(access.env, fill) };
  const url = fillIn(access.url, (name) => encodeURIComponent(fill(`\${secret:${name}}`)));
  return { ...access, url, headers: mapValues(access.headers, fill) };
}

/** Credentials that stand in the file itself, as those of other programs do. */
export function literalCredentials({ access }: ToolServer): string[] {
  const named =
    access.kind === 'stdio'
      ? Object.entries(access.env)
      : [...Object.entries(access.headers), ...parametersOf(access.url)];
  const values = named.filter(([name]) => SENSITIVE.test(name)).map(([, value]) => value);
  // Of "Bearer abc" the second word is the secret.
  return values
    .flatMap((value) => [value, value.slice(value.indexOf(' ') + 1)])
    .filter((value) => value.length >= SHORTEST && secretsNamedIn(value).length === 0);
}

function parametersOf(url: string): [string, string][] {
  return [...(URL.parse(url)?.searchParams ?? [])];
}

function mapValues(texts: Readonly<Record<string, string>>, map: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, map(text)]));
}

function missing(server: string, name: string, owner: string | undefined): ToolFailure {
  const whose = owner === undefined ? '' : ` of ${owner}`;
  const command = `glovebox secret set ${name}${owner === undefined ? '' : ` --owner ${owner}`}`;
  return new ToolFailure(
    'denied',
    `${server} needs the secret ${name}${whose}, which is not set.`,
    `The operator sets it with: ${command}`,
  );
}
