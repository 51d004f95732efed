import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config/load.ts';
import { KubernetesEngine } from '../../src/engines/kubernetes/engine.ts';
import { connectCluster } from '../../src/engines/kubernetes/index.ts';
import { ClusterState } from '../../src/engines/kubernetes/state/cluster-state.ts';
import { createLog } from '../../src/log.ts';
import { newKeyPair } from '../../src/state/key-pair.ts';
import type { SavedSession, SharedSession } from '../../src/state/state.ts';
import { version } from '../../src/version.ts';
import { rate } from '../measure.ts';
import type { Done, Given, Named, Order } from './orders.ts';

/** What a real one does between two looks at whether a write is due. */
const TICK_MS = 20;

/** A control plane as its cluster sees it: with the lease, the watches and the writes of a real one, and no callers. */
class Plane {
  readonly #state: ClusterState;
  readonly #engine: KubernetesEngine;
  readonly #held = new Map<string, SharedSession>();

  constructor(state: ClusterState, engine: KubernetesEngine) {
    this.#state = state;
    this.#engine = engine;
  }

  async follow(order: Order): Promise<Done> {
    const began = Date.now();
    const times: number[] = [];
    const failures: string[] = [];
    const timed = async (work: () => Promise<unknown>) => {
      const start = performance.now();
      try {
        await work();
        times.push(performance.now() - start);
      } catch (error) {
        failures.push(String(error));
      }
    };
    await this.#do(order, timed);
    const { rss } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const use = { residentMb: rss / 2 ** 20, cpuMs: (user + system) / 1000 };
    return { times, failures: failures.slice(0, 20), began, ended: Date.now(), ...use };
  }

  async #do(order: Order, timed: (work: () => Promise<unknown>) => Promise<void>): Promise<void> {
    switch (order.do) {
      case 'create':
        return await this.#each(order, timed, (session) => this.#create(session as Given));
      case 'claim':
        return await this.#each(order, timed, (session) => this.#claim(session));
      case 'release':
        return await this.#each(order, timed, async (session) => {
          const held = this.#take(session);
          await this.#state.release(held, held.saved ?? fresh());
        });
      case 'remove':
        return await this.#each(order, timed, async (session) => await this.#state.remove(this.#take(session)));
      case 'save':
        return await this.#save(order, timed);
      case 'take over':
        return await this.#takeOver(order, timed);
      case 'list':
        return await timed(async () => await this.#engine.list());
      case 'use':
        return undefined;
    }
  }

  async #each(
    { sessions, atOnce }: { readonly sessions: readonly Named[]; readonly atOnce: number },
    timed: (work: () => Promise<unknown>) => Promise<void>,
    act: (session: Named) => Promise<void>,
  ): Promise<void> {
    await rate(sessions.length, atOnce, async (at) => {
      const session = sessions[at];
      if (session) await timed(() => act(session));
    });
  }

  async #create({ owner, id, key, ref }: Given): Promise<void> {
    this.#keep(await this.#state.create(owner, id, { ...fresh(), key, ref, contexts: ['main'] }));
  }

  async #claim({ owner, id }: Named): Promise<void> {
    const found = this.#state.find(owner, id);
    if (!found) throw new Error(`the session ${id} is not known`);
    this.#keep(await this.#state.claim(found));
  }

  async #save(
    { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
    timed: (work: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const names = [...this.#held.keys()];
    const begin = performance.now();
    const under: Promise<void>[] = [];
    for (let sent = 0; performance.now() - begin < seconds * 1000; await sleep(TICK_MS)) {
      const due = Math.floor(((performance.now() - begin) / 1000) * perSecond);
      for (; sent < due; sent += 1) {
        const held = this.#held.get(names[sent % names.length] ?? '');
        if (!held) continue;
        const save = async () => this.#keep(await this.#state.save(held, { ...held.saved, ...fresh() }));
        under.push(timed(save));
      }
    }
    await Promise.all(under);
  }

  async #takeOver(
    { from, first, each, atOnce }: Extract<Order, { readonly do: 'take over' }>,
    timed: (work: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const isThere = () => this.#state.others.some(({ name }) => name === from);
    const { promise, resolve } = Promise.withResolvers<void>();
    using _listening = this.#state.onMembers(() => {
      if (!isThere()) resolve();
    });
    if (isThere()) await promise;
    // By its name: those who take the others may have begun.
    const left = this.#state.all().filter(({ holder, id }) => holder === from && numberOf(id) % each === first);
    await this.#each({ sessions: left, atOnce }, timed, (session) => this.#claim(session));
  }

  #keep(session: SharedSession): void {
    this.#held.set(`${session.owner}\0${session.id}`, session);
  }

  #take({ owner, id }: Named): SharedSession {
    const key = `${owner}\0${id}`;
    const held = this.#held.get(key);
    if (!held) throw new Error(`the session ${id} is not held`);
    this.#held.delete(key);
    return held;
  }
}

/** Of a session, which the simulation has named. */
function numberOf(id: string): number {
  return Number(id.replace(/^\D+/, ''));
}

function fresh(): SavedSession {
  return { last_used_at: new Date().toISOString() };
}

const config = loadConfig();
const log = createLog('warn');
const start = performance.now();
const client = await connectCluster(config, log);
const engine = new KubernetesEngine(client, config, log);
await engine.watch();
const introduction = { address: '127.0.0.1:1', publicKey: newKeyPair().publicKey, version };
const state = await ClusterState.join({ isFit: () => true, client, group: 'simulated', introduction, leaseS: 15, log });
const plane = new Plane(state, engine);
process.on('message', (order: Order) => {
  void plane.follow(order).then((done) => process.send?.(done));
});
process.on('disconnect', () => process.exit());
process.send?.({ name: state.self.name, tookMs: performance.now() - start });
