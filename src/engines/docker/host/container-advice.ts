import { existsSync, readFileSync, statSync } from 'node:fs';

/** File that exists only in the image of the control plane, where hints must name Compose or `docker run`. */
const MARKER = '/etc/glovebox-image';
const SOCKET = '/var/run/docker.sock';
const MOUNT = `-v ${SOCKET}:${SOCKET}`;
const UP = 'docker compose --profile http up -d';
/** Group id of a socket whose group does not exist in the user namespace. */
const OVERFLOW_GROUP = 65_534;
/** Mode bit that lets the group write. */
const GROUP_WRITES = 0o020;

/** Whether this process runs in the image of the control plane. */
export function isOwnContainer(): boolean {
  return existsSync(MARKER);
}

/** Access rights of a socket, and the groups of this process. */
export interface SocketAccess {
  /** Group id of the socket. */
  readonly group: number;
  readonly mode: number;
  readonly groups: readonly number[];
  /** Whether user and group ids in this container are those of the host. */
  readonly hostIds: boolean;
}

/** Hint how to start the control plane's container with access to the socket. Undefined outside of its image. */
export function adviseOnGroup(address: string): string | undefined {
  if (!isOwnContainer()) return undefined;
  const path = address.replace(/^unix:\/\//, '');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isSocket()) return adviseOnMount(path);
  const groups = [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])];
  return adviseOnAccess({ group: found.gid, mode: found.mode, groups, hostIds: hasHostIds() });
}

/** Hint for the access right that is missing. */
export function adviseOnAccess({ group, mode, groups, hostIds }: SocketAccess): string {
  if (group === OVERFLOW_GROUP && !hostIds) {
    return `The group of the socket does not exist in this container's user namespace. Add --userns=host to "docker run".`;
  }
  if ((mode & GROUP_WRITES) === 0) {
    return `The group of the socket, ${group}, has no access to it. Run "chmod g+rw" on the socket on the host.`;
  }
  if (groups.includes(group)) {
    return (
      `This process is in the group of the socket, ${group}, so something else denies access, such as SELinux. ` +
      'Add --security-opt label=disable to "docker run".'
    );
  }
  return `The socket belongs to group ${group}: add --group-add ${group} to "docker run" (with Compose: "DOCKER_GID=${group} ${UP}").`;
}

/** Hint how to mount the engine's socket in the control plane's container. Undefined outside of its image. */
export function adviseOnMount(path = SOCKET): string | undefined {
  if (!isOwnContainer()) return undefined;
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return (
    (isFolder ? `${path} is a folder, which the engine creates if the host has no such socket. ` : '') +
    `Start the engine, and mount its socket: add ${MOUNT} to "docker run" ` +
    `(with Compose: "DOCKER_SOCKET=/path/to/engine.sock ${UP}").`
  );
}

/** Hint how to get a sandbox image that this container cannot build. Empty outside of the control plane's image. */
export function adviseOnImage(): string {
  return isOwnContainer() ? ' Or run "npm run image:control-plane" in the clone, on the host.' : '';
}

function hasHostIds(): boolean {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/gid_map', 'utf8'));
  } catch {
    return true;
  }
}
