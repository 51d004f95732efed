import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../../scripts/kubernetes/lab.ts';
import { loadConfig } from '../../src/config/load.ts';
import { podOptions } from '../../src/engines/kubernetes/pod-spec.ts';
import { limitsOf } from '../../src/glovebox.ts';
import { environment } from '../environment.ts';
import { quantile } from '../measure.ts';
import { perSecond, readCounters } from './api-load.ts';
import type { Given, Named } from './orders.ts';
import { PlaneProcess } from './planes.ts';
import { makeAccount, makeNodes, makePods } from './world.ts';

const NAMESPACE = 'glovebox';
/** Sessions of one owner. */
const PER_OWNER = 20;
const CREATE_AT_ONCE = 8;
const CLAIM_AT_ONCE = 16;
const CLAIMS = 500;
const SWEPT = 1000;
const QUIET_S = 20;
const LOADED_S = 10;
/** Writes a second over all control planes, one rate after the other. */
const RATES = [25, 50, 100, 200, 400, 800];
/** Part of the rate below which writes do not keep up with it. */
const KEPT_UP = 0.8;

export interface Size {
  readonly sessions: number;
  readonly nodes: number;
  readonly planes: number;
}

/** How a figure came out: milliseconds, unless its name says otherwise. */
export interface Figure {
  readonly what: string;
  readonly values: readonly number[];
}

/** What a control plane takes at a number of sessions. */
export interface Growth {
  readonly sessions: number;
  readonly joinMs: number;
  readonly residentMb: number;
  readonly listMs: number;
}

/** How writes go at a rate. */
export interface Loaded {
  readonly asked: number;
  readonly done: number;
  readonly p50: number;
  readonly p99: number;
}

export interface Outcome {
  readonly size: Size;
  readonly figures: readonly Figure[];
  readonly growth: readonly Growth[];
  readonly loaded: readonly Loaded[];
  readonly quiet: readonly (readonly [kind: string, rate: number])[];
  readonly databaseMb: number;
}

/** Plays a service of so many sessions on an API server without nodes, with the state of real control planes. */
export class Simulation implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #size: Size;
  readonly #report: (line: string) => void;
  readonly #env: NodeJS.ProcessEnv;
  readonly #planes: PlaneProcess[] = [];
  readonly #sessions: Given[] = [];
  readonly #figures: Figure[] = [];

  constructor(lab: Lab, size: Size, report: (line: string) => void) {
    this.#lab = lab;
    this.#size = size;
    this.#report = report;
    this.#env = {
      ...environment(),
      KUBECONFIG: lab.kubeconfig,
      GLOVEBOX_ENGINE: 'kubernetes',
      GLOVEBOX_KUBERNETES_NAMESPACE: NAMESPACE,
      GLOVEBOX_IMAGE: 'simulated',
    };
  }

  async run(): Promise<Outcome> {
    const { api } = this.#lab;
    const { nodes, planes } = this.#size;
    await makeAccount(api, NAMESPACE);
    await makeNodes(api, nodes);
    for (let at = 0; at < planes; at += 1) this.#planes.push(await PlaneProcess.start(this.#env));
    const growth = await this.#grow();
    const quiet = await this.#rest();
    const loaded: Loaded[] = [];
    for (const rate of RATES) {
      const last = await this.#load(rate);
      loaded.push(last);
      // A higher one would only queue for longer.
      if (last.done < rate * KEPT_UP) break;
    }
    await this.#claim();
    await this.#takeOver();
    await this.#sweep();
    const { databaseBytes } = await readCounters(api);
    return {
      ...{ size: this.#size, figures: this.#figures, growth, loaded, quiet },
      databaseMb: databaseBytes / 2 ** 20,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#planes.map((plane) => plane.kill()));
  }

  /** Makes all sessions, in steps; has a control plane join at the end of each. */
  async #grow(): Promise<Growth[]> {
    const { sessions } = this.#size;
    const growth: Growth[] = [];
    const times: number[] = [];
    let ms = 0;
    for (const part of [0.1, 0.25, 0.5, 1]) {
      const first = this.#sessions.length;
      const step = await this.#given(Math.round(sessions * part) - first);
      const begin = performance.now();
      const done = await Promise.all(
        this.#planes.map((plane, at) =>
          plane.follow({ do: 'create', sessions: this.#shareOf(step, at, first), atOnce: CREATE_AT_ONCE }),
        ),
      );
      ms += performance.now() - begin;
      times.push(...done.flatMap((each) => each.times));
      assertDone(done);
      this.#sessions.push(...step);
      await using joining = await PlaneProcess.start(this.#env);
      const { residentMb, times: listed } = await joining.follow({ do: 'list' });
      const grown = { sessions: this.#sessions.length, joinMs: joining.joined.tookMs, residentMb };
      growth.push({ ...grown, listMs: listed[0] ?? Number.NaN });
      this.#report(`${this.#sessions.length} sessions: joined in ${Math.round(joining.joined.tookMs)} ms`);
    }
    this.#note('make a session', times);
    this.#note('sessions made a second', [(sessions / ms) * 1000]);
    return growth;
  }

  /** What is asked while nobody calls. */
  async #rest(): Promise<[string, number][]> {
    const before = await readCounters(this.#lab.api);
    const cpu = await this.#cpu();
    await sleep(QUIET_S * 1000);
    const rates = perSecond(before, await readCounters(this.#lab.api), QUIET_S);
    this.#note('processor time of a control plane at rest, ms a second', this.#spent(cpu, await this.#cpu(), QUIET_S));
    return rates;
  }

  async #load(rate: number): Promise<Loaded> {
    const order = { do: 'save', perSecond: rate / this.#planes.length, seconds: LOADED_S } as const;
    const done = await Promise.all(this.#planes.map((plane) => plane.follow(order)));
    assertDone(done);
    const times = done.flatMap((each) => each.times);
    const seconds = Math.max(...done.map(({ began, ended }) => ended - began)) / 1000;
    const loaded = { asked: rate, done: times.length / seconds, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
    this.#report(`${rate} writes a second: ${loaded.done.toFixed(0)} done, p50 ${loaded.p50.toFixed(1)} ms`);
    return loaded;
  }

  /** Lets the first one let go of sessions, which the second one takes: one after the other, and many at once. */
  async #claim(): Promise<void> {
    const [first, second] = this.#planes;
    if (!first || !second) throw new Error('A claim needs two control planes.');
    const own = this.#shareOf(this.#sessions, 0).slice(0, CLAIMS);
    for (const [what, atOnce] of [
      ['claim a session', 1],
      [`claim a session, ${CLAIM_AT_ONCE} at once`, CLAIM_AT_ONCE],
    ] as const) {
      assertDone([await first.follow({ do: 'release', sessions: own, atOnce: CLAIM_AT_ONCE })]);
      const done = await second.follow({ do: 'claim', sessions: own, atOnce });
      assertDone([done]);
      this.#note(what, done.times);
      assertDone([await second.follow({ do: 'release', sessions: own, atOnce: CLAIM_AT_ONCE })]);
      assertDone([await first.follow({ do: 'claim', sessions: own, atOnce: CLAIM_AT_ONCE })]);
    }
  }

  /** Kills the last control plane; the others take all that it held. */
  async #takeOver(): Promise<void> {
    const last = this.#planes.pop();
    if (!last) return;
    const killed = Date.now();
    await last.kill();
    const each = this.#planes.length;
    const done = await Promise.all(
      this.#planes.map((plane, first) =>
        plane.follow({ do: 'take over', from: last.joined.name, first, each, atOnce: CLAIM_AT_ONCE }),
      ),
    );
    assertDone(done);
    const count = done.reduce((sum, { times }) => sum + times.length, 0);
    const until = Math.max(...done.map(({ ended }) => ended)) - killed;
    this.#note(`all ${count} sessions of a killed control plane are held again, from the kill`, [until]);
    this.#note(
      'claim a session of a killed control plane',
      done.flatMap(({ times }) => times),
    );
  }

  async #sweep(): Promise<void> {
    const [first] = this.#planes;
    const ended = this.#shareOf(this.#sessions, 0).slice(-SWEPT);
    const done = await first?.follow({ do: 'remove', sessions: ended, atOnce: CLAIM_AT_ONCE });
    if (!done) return;
    assertDone([done]);
    this.#note(`remove ${ended.length} sessions that have ended`, [done.ended - done.began]);
  }

  async #given(count: number): Promise<Given[]> {
    const config = loadConfig(this.#env);
    const spec = { ...limitsOf(config), instance: 'simulated', image: 'simulated' };
    const bodyOf = (key: string, uid: number) => podOptions({ ...spec, key, uid }, config);
    const first = this.#sessions.length;
    const pods = await makePods(this.#lab.api, { count, first, nodes: this.#size.nodes, bodyOf }, NAMESPACE);
    return pods.map((pod, at) => ({ ...pod, ...nameOf(first + at) }));
  }

  /** Those of a control plane. @param first number of the first among all sessions */
  #shareOf<T>(some: readonly T[], plane: number, first = 0): T[] {
    return some.filter((_, at) => (first + at) % this.#size.planes === plane);
  }

  async #cpu(): Promise<number[]> {
    return await Promise.all(this.#planes.map(async (plane) => (await plane.follow({ do: 'use' })).cpuMs));
  }

  #spent(before: readonly number[], after: readonly number[], seconds: number): number[] {
    return after.map((ms, at) => (ms - (before[at] ?? 0)) / seconds);
  }

  #note(what: string, values: readonly number[]): void {
    this.#figures.push({ what, values });
    this.#report(`${what}: p50 ${quantile(values, 0.5).toFixed(1)}, p99 ${quantile(values, 0.99).toFixed(1)}`);
  }
}

function nameOf(at: number): Named {
  return { owner: `owner-${Math.floor(at / PER_OWNER)}`, id: `session-${at}` };
}

function assertDone(all: readonly { readonly failures: readonly string[] }[]): void {
  const failures = all.flatMap((done) => done.failures);
  if (failures.length > 0) throw new Error(`Some of it failed: ${failures.slice(0, 3).join('; ')}`);
}
