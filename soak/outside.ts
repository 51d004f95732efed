import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { containerOf } from '../bench/sandboxes.ts';
import { LABELS } from '../src/engines/docker/hardening/spec.ts';

const FINISH_LIMIT_MS = 90_000;
const LOOK_EVERY_MS = 200;

/** The engine as an operator reaches it: what a server has there, and blows that it does not see coming. */
export class Outside {
  readonly #docker: Docker;
  readonly #stateDir: string;

  constructor(docker: Docker, stateDir: string) {
    this.#docker = docker;
    this.#stateDir = stateDir;
  }

  /** Every container that servers over the state directory have made. */
  async containers(): Promise<Docker.ContainerInfo[]> {
    const id = readFileSync(join(this.#stateDir, 'id'), 'utf8');
    const all = await this.#docker.listContainers({ all: true, filters: { label: [LABELS.key] } });
    return all.filter(({ Labels }) => Labels[LABELS.instance]?.endsWith(`@${id}`));
  }

  /** Processes of each container, and execs that the engine knows of, those that ended too. */
  async look(): Promise<{ readonly processes: readonly number[]; readonly execs: number }> {
    const processes: number[] = [];
    let execs = 0;
    for (const { Id } of await this.containers()) {
      const container = this.#docker.getContainer(Id);
      // One that goes away meanwhile has none.
      const [top, facts] = await Promise.all([
        container.top().catch(() => undefined),
        container.inspect().catch(() => undefined),
      ]);
      if (top) processes.push(((top.Processes ?? []) as string[][]).length);
      execs += facts?.ExecIDs?.length ?? 0;
    }
    return { processes, execs };
  }

  async kill(session: string, owner?: string): Promise<void> {
    await this.#of(session, owner, (container) => container.kill());
  }

  async remove(session: string, owner?: string): Promise<void> {
    await this.#of(session, owner, (container) => container.remove({ force: true }));
  }

  /** Kills the runner itself, not what it has forked. */
  async killRunner(session: string, owner?: string): Promise<void> {
    await this.#of(session, owner, async (container) => {
      const exec = await container.exec({ Cmd: ['/bin/sh', '-c', KILL_OLDEST], User: '0', AttachStdout: true });
      const stream = await exec.start({ hijack: true, stdin: false });
      stream.resume();
      await new Promise((resolve) => stream.once('close', resolve).once('end', resolve).once('error', resolve));
    });
  }

  /** What containers there still are once the engine has had a moment to finish what it was told, in sentences. */
  async leftovers(): Promise<string[]> {
    const deadline = performance.now() + FINISH_LIMIT_MS;
    let left = await this.#existing();
    for (; left.length > 0 && performance.now() < deadline; left = await this.#existing()) await sleep(LOOK_EVERY_MS);
    return left.map(({ Id, Names, Status }) => `A container is left: ${Names[0] ?? Id}, ${Status}.`);
  }

  /** An engine that was killed while it removed one may list it until it starts anew, and knows nothing more of it. */
  async #existing(): Promise<Docker.ContainerInfo[]> {
    const listed = await this.containers();
    const exists = await Promise.all(
      listed.map(({ Id }) =>
        this.#docker
          .getContainer(Id)
          .inspect()
          .then(() => true)
          .catch(isOther),
      ),
    );
    return listed.filter((_, at) => exists[at]);
  }

  async removeAll(): Promise<void> {
    for (const { Id } of await this.containers())
      await ignoreGone(this.#docker.getContainer(Id).remove({ force: true }));
  }

  async #of(
    session: string,
    owner: string | undefined,
    act: (of: Docker.Container) => Promise<unknown>,
  ): Promise<void> {
    const name = containerOf(this.#stateDir, session, owner);
    if (!name) return;
    const blow = () => ignoreGone(act(this.#docker.getContainer(name)));
    // An engine on a busy machine may fail to end a container in time.
    await blow().catch((error: { statusCode?: number }) => (error.statusCode === 500 ? blow() : Promise.reject(error)));
  }
}

/** The runner is the first process with its name, for all others were forked from it. */
const KILL_OLDEST = `for p in /proc/[0-9]*; do
  if tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^python3 -I -c .*/opt/glovebox/runner'; then
    echo \${p#/proc/}
  fi
done | sort -n | head -n 1 | xargs -r kill -9`;

/** Whether an engine's error is another one than that there is no such container. */
function isOther(error: { statusCode?: number }): boolean {
  return error.statusCode !== 404;
}

async function ignoreGone(work: Promise<unknown>): Promise<void> {
  await work.catch((error: { statusCode?: number }) => {
    if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
  });
}
