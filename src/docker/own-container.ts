import { existsSync, statSync } from 'node:fs';

/** Only in the image of the control plane: what a person does there is done with compose or `docker run`. */
const MARKER = '/etc/glovebox-image';

/** How to start the control plane's container so that it may use the socket; undefined outside of our image. */
export function adviseOnGroup(address: string): string | undefined {
  if (!existsSync(MARKER)) return undefined;
  const path = address.replace(/^unix:\/\//, '');
  const group = existsSync(path) ? String(statSync(path).gid) : '$(stat -c %g /var/run/docker.sock)';
  return `The socket belongs to group ${group}. Run "DOCKER_GID=${group} docker compose --profile http up -d" (with docker run: --group-add ${group}).`;
}

/** How to bring the engine's socket into the control plane's container; undefined outside of our image. */
export function adviseOnMount(): string | undefined {
  if (!existsSync(MARKER)) return undefined;
  return (
    'Start the engine, and name its socket: "DOCKER_SOCKET=/path/to/engine.sock docker compose --profile http up -d" ' +
    '(with docker run: -v /var/run/docker.sock:/var/run/docker.sock).'
  );
}

/** How a sandbox image gets to the engine when this container cannot build it; nothing outside of our image. */
export function adviseOnImage(): string {
  return existsSync(MARKER) ? ' Or run "npm run image:control-plane" in the clone, on the host.' : '';
}
