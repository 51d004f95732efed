import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { closeSession } from './doors.ts';
import { interleave, median, type Subject } from './measure.ts';
import { containerOf } from './sandboxes.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const ROUNDS = { thorough: 600, quick: 200 };
const WARM_UP = 20;
/** Highest median that is wanted, in milliseconds. */
const AT_MOST_MS = 5;
/** Pause between two keys, in milliseconds: so that each finds all at rest, as that of a person does. */
const PAUSE_MS = 10;
const SESSION = 'bench-terminal';
const NAME = 'terminal: key to echo';
const FLOOR = 'docker exec -it';
/** A letter, and what takes it back: the line stays short. */
const KEYS = ['x', '\x7f'];
const SHELL = ['/bin/sh', '-c', 'exec $(command -v bash || command -v sh) -i'];

/** Something that echoes keys. */
interface Keyboard extends AsyncDisposable {
  type(key: string): void;
  /** Resolves with the next output. */
  echo(): Promise<unknown>;
}

/** Time from a key to its echo by a shell, through the server and by the engine alone. */
export async function measureTerminal({ builds, docker, quick, signal }: Setting): Promise<Row[]> {
  const [{ server, stateDir }] = builds;
  await using ours = await openTerminal(server.url);
  const container = docker.getContainer(containerOf(stateDir, SESSION) ?? '');
  await using floor = await openExec(container);
  const subjects: Subject[] = [toSubject(NAME, ours), toSubject(FLOOR, floor)];
  const plan = { rounds: quick ? ROUNDS.quick : ROUNDS.thorough, warmUp: WARM_UP, signal };
  const samples = await interleave(subjects, plan);
  const of = median(samples[FLOOR] ?? []);
  await closeSession(server.url, SESSION);
  return [{ ...toRow(NAME, 'ms', samples[NAME] ?? [], [{ floor: FLOOR, of }]), atMost: AT_MOST_MS }];
}

function toSubject(name: string, keyboard: Keyboard): Subject {
  let typed = 0;
  return {
    name,
    before: () => sleep(PAUSE_MS),
    run: async () => {
      const echo = keyboard.echo();
      keyboard.type(KEYS[typed % KEYS.length] ?? '');
      typed += 1;
      await echo;
    },
  };
}

async function openTerminal(url: string): Promise<Keyboard> {
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const headers = { 'Content-Type': 'application/json' };
    return (await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json() as never;
  };
  await post('/sessions', { name: SESSION });
  const { terminal_id: id } = await post(`/sessions/${SESSION}/terminals`, { rows: 24, cols: 80, command: SHELL });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/sessions/${SESSION}/terminals/${id}/attach`, {
    perMessageDeflate: false,
  });
  await once(socket, 'open');
  return {
    type: (key) => socket.send(Buffer.from(key)),
    echo: () => once(socket, 'message'),
    [Symbol.asyncDispose]: async () => socket.terminate(),
  };
}

async function openExec(container: ReturnType<Setting['docker']['getContainer']>): Promise<Keyboard> {
  const streams = { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true };
  const exec = await container.exec({ Cmd: SHELL, ...streams });
  const stream: Duplex = await exec.start({ hijack: true, stdin: true, Tty: true });
  stream.resume();
  return {
    type: (key) => void stream.write(key),
    echo: () => once(stream, 'data'),
    [Symbol.asyncDispose]: async () => void stream.destroy(),
  };
}
