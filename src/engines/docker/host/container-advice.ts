import { existsSync, readFileSync, statSync } from 'node:fs';

/** Only in the image of the control plane: what a person does there is done with compose or `docker run`. */
const MARKER = '/etc/glovebox-image';
const SOCKET = '/var/run/docker.sock';
const MOUNT = `-v ${SOCKET}:${SOCKET}`;
const UP = 'docker compose --profile http up -d';
/** What a socket's group is called in a user namespace that does not have it. */
const OVERFLOW_GROUP = 65_534;
const GROUP_WRITES = 0o020;

/** Whether this process runs in the image of the control plane. */
export function isOwnContainer(): boolean {
  return existsSync(MARKER);
}

/** Who may use a socket, as this process sees it, and what groups this process is in. */
export interface SocketAccess {
  readonly group: number;
  readonly mode: number;
  readonly groups: readonly number[];
  /** Whether ids here are those of the host. */
  readonly hostIds: boolean;
}

/** How to start the control plane's container so that it may use the socket; undefined outside of our image. */
export function adviseOnGroup(address: string): string | undefined {
  if (!isOwnContainer()) return undefined;
  const path = address.replace(/^unix:\/\//, '');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isSocket()) return adviseOnMount(path);
  const groups = [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])];
  return adviseOnAccess({ group: found.gid, mode: found.mode, groups, hostIds: hasHostIds() });
}

/** The one thing that is missing. */
export function adviseOnAccess({ group, mode, groups, hostIds }: SocketAccess): string {
  if (group === OVERFLOW_GROUP && !hostIds) {
    return `The socket's group is unknown in this container's user namespace: add --userns=host to "docker run".`;
  }
  if ((mode & GROUP_WRITES) === 0) {
    return `The socket is closed to its group, ${group}: open it on the host with "chmod g+rw".`;
  }
  if (groups.includes(group)) {
    return (
      `This process is in the socket's group, ${group}: something else denies it, as SELinux does. ` +
      'Add --security-opt label=disable to "docker run".'
    );
  }
  return `The socket belongs to group ${group}: add --group-add ${group} to "docker run" (with Compose: "DOCKER_GID=${group} ${UP}").`;
}

/** How to bring the engine's socket into the control plane's container; undefined outside of our image. */
export function adviseOnMount(path = SOCKET): string | undefined {
  if (!isOwnContainer()) return undefined;
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return (
    (isFolder ? `${path} is a folder, as it becomes where the host has no such socket. ` : '') +
    `Start the engine, and mount its socket: add ${MOUNT} to "docker run" ` +
    `(with Compose: "DOCKER_SOCKET=/path/to/engine.sock ${UP}").`
  );
}

/** How a sandbox image gets to the engine when this container cannot build it; nothing outside of our image. */
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
