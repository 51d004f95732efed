import { chownSync, statSync } from 'node:fs';
import { readPlaces } from '../config/host-environment.ts';
import { listDefaultEndpoints } from '../engines/docker/connect/endpoints.ts';
import { isOwnContainer } from '../engines/docker/host/container-advice.ts';

/** User and group of the image, as which the program runs. */
const USER = 65_532;

/**
 * In the image of the control plane, switches from root to the image's user, in the groups of the engine's sockets. Root
 * is only needed to find those groups and to own the folders. Outside of the image, does nothing.
 * @returns advice, if root may not become another user
 */
export function leaveRoot(): string | undefined {
  if (process.getuid?.() !== 0 || !isOwnContainer()) return undefined;
  const { directories, hostEnvironment } = readPlaces();
  for (const directory of directories) takeOver(directory);
  const { host } = hostEnvironment.docker;
  const addresses = host === undefined ? listDefaultEndpoints(hostEnvironment).map(({ address }) => address) : [host];
  const sockets = addresses.flatMap((address) => groupOf(address) ?? []);
  // Groups of --group-add are kept. Root's own group is dropped, unless a socket belongs to it.
  const given = process.getgroups?.().filter((group) => group !== 0) ?? [];
  try {
    process.setgroups?.([...new Set([...given, ...sockets])]);
    process.setgid?.(USER);
    process.setuid?.(USER);
    return undefined;
  } catch {
    const missing = sockets.find((group) => !given.includes(group));
    const group = missing === undefined ? '' : ` --group-add ${missing}`;
    return (
      'Root may not become another user in this container.\n' +
      `Add --user ${USER}:${USER}${group} to "docker run", or leave out what takes its capabilities away (--cap-drop).`
    );
  }
}

/** Returns the group of the socket at an address. Undefined if there is no socket. */
function groupOf(address: string): number | undefined {
  const path = /^unix:\/\/(.+)$/.exec(address)?.[1] ?? '';
  try {
    const found = statSync(path);
    return found.isSocket() ? found.gid : undefined;
  } catch {
    return undefined;
  }
}

/** Gives a mounted folder of root to the image's user. A failure is reported later, when the folder cannot be written. */
function takeOver(directory: string): void {
  try {
    if (statSync(directory).uid === 0) chownSync(directory, USER, USER);
  } catch {}
}
