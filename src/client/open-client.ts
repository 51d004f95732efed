import { isLoopback } from '../config/config.ts';
import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { readAnswer, serverAnswer } from './answers.ts';
import type { Client } from './client.ts';
import type { LocalOptions } from './local.ts';
import { RemoteClient } from './remote.ts';
import { readJson, type Server, send } from './requests.ts';

/** Longest wait for whatever listens at the default address to say what it is, in milliseconds. */
const LOOK_LIMIT_MS = 3000;
/** Longest wait for a server that starts, in milliseconds. It may have to build an image. */
const START_LIMIT_MS = 60_000;

export interface ClientOptions extends LocalOptions {
  /** Whether to leave a server that runs alone. */
  readonly isLocal: boolean;
}

/**
 * Opens what commands use: the server of the setting `url`; else the server of this machine, if it runs; else an engine.
 * @throws GloveboxError when a server that is named does not answer, or asks for another key; as `LocalClient.open` does
 */
export async function openClient(config: Config, options: ClientOptions): Promise<Client> {
  const server = options.isLocal ? undefined : await findServer(config, options);
  if (server) return new RemoteClient(server);
  const { LocalClient } = await import('./local.ts');
  return await LocalClient.open(config, options);
}

async function findServer(config: Config, { onProgress, signal }: LocalOptions): Promise<Server | undefined> {
  const { key, url: named } = config;
  if (named !== undefined) {
    const server = { url: named.replace(/\/+$/, ''), key };
    onProgress(`Asking the server at ${server.url}`);
    readAnswer(serverAnswer, await readJson(server, '/server', { signal: limited(signal, START_LIMIT_MS) }));
    return server;
  }
  const url = `http://${isLoopback(config.host) ? config.host : '127.0.0.1'}:${config.port}`;
  if (config.port === 0 || !(await isGlovebox(url, signal))) return undefined;
  onProgress(`Asking the server at ${url}`);
  // The key is sent only to what has said that it is a Glovebox.
  await readJson({ url, key }, '/server', { signal: limited(signal, START_LIMIT_MS) });
  return { url, key };
}

/** Whether what listens at the default address, if anything does, is a server of this program. */
async function isGlovebox(url: string, signal: AbortSignal): Promise<boolean> {
  const asked = limited(signal, LOOK_LIMIT_MS);
  try {
    const answer = await send({ url, key: undefined }, '/server', { signal: asked });
    return serverAnswer.safeParse(await answer.json()).success;
  } catch (error) {
    signal.throwIfAborted();
    // It has another owner's key, or still starts; both are told when it is used.
    if (error instanceof GloveboxError && error.code === 'unauthorized') return true;
    return await isStarting(url, limited(signal, LOOK_LIMIT_MS));
  }
}

/** Whether it says that it is a server that starts. */
async function isStarting(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer: unknown = await (await fetch(`${url}/health`, { signal, redirect: 'error' })).json();
    return typeof answer === 'object' && answer !== null && 'status' in answer && answer.status === 'starting';
  } catch {
    return false;
  }
}

function limited(signal: AbortSignal, limitMs: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
}
