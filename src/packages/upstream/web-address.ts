/** Whether two URLs have the same host and port. The default ports 80 and 443 count as one. */
export function sameHost(one: URL, other: URL): boolean {
  return one.hostname === other.hostname && (one.port === other.port || (isDefaultPort(one) && isDefaultPort(other)));
}

function isDefaultPort({ port }: URL): boolean {
  return port === '' || port === '80' || port === '443';
}

/** A copy of a URL without the parts that are not sent: user, password and fragment. */
export function bareAddress(url: URL): URL {
  const copy = new URL(url);
  copy.username = copy.password = copy.hash = '';
  return copy;
}
