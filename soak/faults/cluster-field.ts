import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import { NODES } from '../../scripts/kubernetes/layout.ts';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { buildClusterImage } from '../../test/setup/cluster-image.ts';
import type { Breaker, Field, Kind } from './field.ts';
import { Pods } from './pods.ts';
import type { Witness } from './witness.ts';

/** How long the server waits for a node before its sandboxes count as lost, in seconds; the cluster itself takes 12 s. */
const NODE_LOST_S = 30;
/** Shorter than the cluster takes to notice, shorter than the server waits, and longer than both. */
const BLINK_MS = [1000, 8000] as const;
const CUT_MS = [15_000, 25_000] as const;
const LONG_CUT_MS = [50_000, 60_000] as const;
const READY_LIMIT_MS = 60_000;

const report = (line: string) => void process.stderr.write(`${line}\n`);

/** A cluster of this run alone, with the pods of a server. */
export async function openClusterField(stateDir: string): Promise<Field> {
  const image = await buildClusterImage('slim', report);
  const lab = await Lab.start({ program: await ensureProgram(report), images: [image], report });
  const pods = new Pods(lab.api, stateDir);
  return {
    env: {
      KUBECONFIG: lab.kubeconfig,
      GLOVEBOX_ENGINE: 'kubernetes',
      GLOVEBOX_IMAGE: image,
      GLOVEBOX_KUBERNETES_NODE_LOST_S: String(NODE_LOST_S),
    },
    kinds: (breaker) => [...podKinds(pods, breaker), ...controlKinds(lab, breaker), ...nodeKinds(lab, breaker)],
    leftovers: () => pods.leftovers(),
    removeAll: async () => {},
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

function podKinds(pods: Pods, { plant }: Breaker): Kind[] {
  const remove = ({ session, owner }: Witness) => pods.remove(session, owner);
  const end = ({ session, owner }: Witness) => pods.endContainer(session, owner);
  const killRunner = ({ session, owner }: Witness) => pods.killRunner(session, owner);
  const withServer = (act: (witness: Witness) => Promise<void>) => async (witness: Witness) => {
    await plant.kill();
    await act(witness);
    await plant.start();
  };
  return [
    { kind: 'kubectl delete pod', weight: 3, reach: 'container', single: true, act: remove },
    { kind: 'kill -9 of the main process', weight: 2, reach: 'container', single: true, act: end },
    { kind: 'kill -9 of the runner', weight: 3, reach: 'processes', single: true, act: killRunner },
    { kind: 'kill -9 of server, delete pod', weight: 1, reach: 'container', single: true, act: withServer(remove) },
  ];
}

function controlKinds(lab: Lab, { plant, down }: Breaker): Kind[] {
  const restart = (withServer: boolean) => async () => {
    await lab.killApiServer();
    if (withServer) await plant.kill();
    await down();
    await lab.startApiServer();
    if (withServer) await plant.start();
  };
  return [
    { kind: 'kill -9 of the API server', weight: 3, reach: 'calls', act: restart(false) },
    { kind: 'kill -9 of API server and server', weight: 1, reach: 'calls', act: restart(true) },
  ];
}

function nodeKinds(lab: Lab, { random, down }: Breaker): Kind[] {
  const cut = (ms: readonly [number, number]) => async () => {
    const node = random.pick(NODES);
    await lab.cutNode(node);
    await sleep(random.whole(...ms));
    await lab.joinNode(node);
    await lab.api.awaitNode(node, true, READY_LIMIT_MS, Date.now());
  };
  const killNode = async () => {
    const node = random.pick(NODES);
    await lab.killNode(node);
    await down();
    await lab.startNode(node);
  };
  const killKubelet = async () => {
    const node = random.pick(NODES);
    await lab.killKubelet(node);
    await down();
    await lab.startKubelet(node);
  };
  const killContainerd = async () => {
    const node = random.pick(NODES);
    await lab.killContainerd(node);
    await down();
    await lab.startContainerd(node);
    await lab.api.awaitNode(node, true, READY_LIMIT_MS, Date.now());
  };
  return [
    { kind: 'kill -9 of a kubelet', weight: 2, reach: 'calls', act: killKubelet },
    { kind: 'kill -9 of a containerd', weight: 2, reach: 'calls', act: killContainerd },
    { kind: 'a node cut off for a moment', weight: 2, reach: 'calls', act: cut(BLINK_MS) },
    { kind: 'a node cut off until it is noticed', weight: 2, reach: 'calls', act: cut(CUT_MS) },
    { kind: 'a node cut off for long', weight: 1, reach: 'container', act: cut(LONG_CUT_MS) },
    { kind: 'power cut of a node', weight: 2, reach: 'container', act: killNode },
  ];
}
