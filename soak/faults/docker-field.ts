import { setTimeout as sleep } from 'node:timers/promises';
import { Outside } from '../outside.ts';
import { openRunEngine, type RunEngine } from '../own-engine.ts';
import type { Breaker, Field, Kind } from './field.ts';
import type { Witness } from './witness.ts';

/** Shorter and longer than the server waits for an answer of the engine. */
const SHORT_HANG_MS = [500, 8000] as const;
const LONG_HANG_MS = [31_000, 45_000] as const;

/** A daemon of this run alone, with the containers of a server. */
export async function openDockerField(root: string, stateDir: string): Promise<Field> {
  const engine = await openRunEngine(root, 'own');
  const outside = new Outside(engine.docker, stateDir);
  return {
    env: { DOCKER_HOST: engine.address, GLOVEBOX_IMAGE: 'slim' },
    kinds: (breaker) => [...sandboxKinds(outside, breaker), ...engineKinds(engine, breaker)],
    leftovers: () => outside.leftovers(),
    removeAll: () => outside.removeAll(),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

function sandboxKinds(outside: Outside, { plant }: Breaker): Kind[] {
  const kill = ({ session, owner }: Witness) => outside.kill(session, owner);
  const remove = ({ session, owner }: Witness) => outside.remove(session, owner);
  const killRunner = ({ session, owner }: Witness) => outside.killRunner(session, owner);
  const withServer = (act: (witness: Witness) => Promise<void>) => async (witness: Witness) => {
    await plant.kill();
    await act(witness);
    await plant.start();
  };
  return [
    { kind: 'docker kill', weight: 3, reach: 'container', single: true, act: kill },
    { kind: 'docker rm -f', weight: 2, reach: 'container', single: true, act: remove },
    { kind: 'kill -9 of the runner', weight: 3, reach: 'processes', single: true, act: killRunner },
    { kind: 'kill -9 of server, docker kill', weight: 1, reach: 'container', single: true, act: withServer(kill) },
    {
      kind: 'kill -9 of server and runner',
      weight: 1,
      reach: 'processes',
      single: true,
      act: withServer(killRunner),
    },
  ];
}

function engineKinds({ faults }: RunEngine, { plant, random, down }: Breaker): Kind[] {
  if (!faults) return [];
  const restart = (signal: 'SIGKILL' | 'SIGTERM', withServer: boolean) => async () => {
    await faults.end(signal);
    if (withServer) await plant.kill();
    await down();
    await faults.start();
    if (withServer) await plant.start();
  };
  const hang = (ms: readonly [number, number]) => async () => {
    faults.signal('SIGSTOP');
    await sleep(random.whole(...ms));
    faults.signal('SIGCONT');
  };
  return [
    { kind: 'kill -9 of the engine', weight: 2, reach: 'container', act: restart('SIGKILL', false) },
    { kind: 'engine hangs for a moment', weight: 2, reach: 'container', act: hang(SHORT_HANG_MS) },
    { kind: 'engine hangs for long', weight: 1, reach: 'container', act: hang(LONG_HANG_MS) },
    { kind: 'SIGTERM of the engine', weight: 2, reach: 'container', act: restart('SIGTERM', false) },
    { kind: 'kill -9 of engine and server', weight: 1, reach: 'container', act: restart('SIGKILL', true) },
  ];
}
