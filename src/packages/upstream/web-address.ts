/** The same name and port; the two default ports of the web are one. */
export function sameHost(one: URL, other: URL): boolean {
  return one.hostname === other.hostname && (one.port === other.port || (isDefaultPort(one) && isDefaultPort(other)));
}

function isDefaultPort({ port }: URL): boolean {
  return port === '' || port === '80' || port === '443';
}

/** Without what is not sent: user, password, fragment. */
export function bareAddress(url: URL): URL {
  const copy = new URL(url);
  copy.username = copy.password = copy.hash = '';
  return copy;
}
