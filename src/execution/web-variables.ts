/** Where the proxy listens in a sandbox; see WEB_ADDRESS in sandbox-image/runner/_glovebox/paths.py. */
const WEB_ADDRESS = '127.0.0.1:3143';
/** Name of the user that code shows to the proxy with its token. */
const WEB_USER = 'glovebox';
/** The sandbox itself, which needs no proxy: the package index is there, too. */
const DIRECT = 'localhost,127.0.0.1,::1';
/** Kinds of URLs, as variables name them. WebSockets have their own for some libraries. */
const SCHEMES = ['http', 'https', 'all', 'ws', 'wss'];

/** The usual variables by which programs find a proxy. Some read only the small letters, and some only the capitals. */
export function webVariables(token: string): Readonly<Record<string, string>> {
  const url = `http://${WEB_USER}:${token}@${WEB_ADDRESS}`;
  const proxies = SCHEMES.map((scheme) => [`${scheme}_proxy`, url] as const);
  const small = [...proxies, ['no_proxy', DIRECT] as const];
  return Object.fromEntries([...small, ...small.map(([name, value]) => [name.toUpperCase(), value] as const)]);
}
