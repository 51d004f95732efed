import { chownSync, statSync } from 'node:fs';
import { readPlaces } from '../config/host-environment.ts';
import { listDefaultEndpoints } from '../engines/docker/connect/endpoints.ts';
import { isOwnContainer } from '../engines/docker/host/container-advice.ts';

/** The image's own user and group, by whom everything is done. */
const USER = 65_532;

/**
 * In the image of the control plane, gives up root for the image's user, in the groups of the engine's sockets: to find
 * those out, and to own its folders, is all that root is for. Elsewhere nothing happens.
 * What to do, where root may not become another user.
 */
export function leaveRoot(): string | undefined {
  if (process.getuid?.() !== 0 || !isOwnContainer()) return undefined;
  const { directories, hostEnvironment } = readPlaces();
  for (const directory of directories) takeOver(directory);
  const { host } = hostEnvironment.docker;
  const addresses = host === undefined ? listDefaultEndpoints(hostEnvironment).map(({ address }) => address) : [host];
  const sockets = addresses.flatMap((address) => groupOf(address) ?? []);
  // Those of --group-add are kept; root's own is not, but where a socket belongs to it.
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

/** The group of the socket at an address; undefined where there is none. */
function groupOf(address: string): number | undefined {
  const path = /^unix:\/\/(.+)$/.exec(address)?.[1] ?? '';
  try {
    const found = statSync(path);
    return found.isSocket() ? found.gid : undefined;
  } catch {
    return undefined;
  }
}

/** Gives a mounted folder of root's to the image's user; what cannot be given is told when it cannot be written. */
function takeOver(directory: string): void {
  try {
    if (statSync(directory).uid === 0) chownSync(directory, USER, USER);
  } catch {}
}
