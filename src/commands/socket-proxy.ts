import type { Config } from '../config/load.ts';
import { hasUserNamespaces, readFacts } from '../engines/docker/connect/check-engine.ts';
import { connectEngine } from '../engines/docker/connect/connect.ts';
import { readPodmanVersion } from '../engines/docker/connect/podman.ts';
import { SocketProxy } from '../engines/docker/socket-proxy/proxy.ts';
import { GloveboxError } from '../errors.ts';
import { aborted } from '../lib/deadline.ts';
import { createLog } from '../log.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox socket-proxy`, a proxy between a control plane and the engine's socket, until the signal aborts. */
export async function runSocketProxy(config: Config, { signal }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  const { docker, address } = await connectEngine(config);
  if (readPodmanVersion(await docker.version()) !== undefined) {
    throw new GloveboxError(
      'invalid_input',
      `The socket proxy knows the API of Docker only, and ${address} is Podman.`,
      {
        hint: 'Run Glovebox on the machine of Podman, outside of containers, or set DOCKER_HOST to Docker.',
      },
    );
  }
  const engine = /^unix:\/\/(.+)$/.exec(address)?.[1];
  if (engine === undefined) {
    throw new GloveboxError('invalid_input', `The socket proxy stands before a socket, and ${address} is none.`, {
      hint: 'Set DOCKER_HOST to unix:///path/to/engine.sock.',
    });
  }
  const { proxySocket: socket, image, keepWhile } = config;
  const remapped = hasUserNamespaces(await readFacts(docker));
  await using _proxy = await SocketProxy.listen({ engine, socket, image, keepWhile, remapped, log });
  log.info('the socket proxy listens', { socket, engine });
  await aborted(signal);
}
