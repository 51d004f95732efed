import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ensureStorage } from '../../scripts/storage/program.ts';
import { Bucket } from '../../src/s3/bucket.ts';
import { freePort } from './free-port.ts';

export const CREDENTIALS = { accessKeyId: 'glovebox', secretAccessKey: 'a-secret-of-the-tests' };
const BUCKET = 'archives';

/** A real server of the S3 protocol, over a folder of its own. */
export interface Storage extends AsyncDisposable {
  readonly port: number;
  readonly endpoint: string;
  /** Settings of a Glovebox whose archives are in it. */
  readonly env: Readonly<Record<string, string>>;
  /** Opens its bucket. @param port of a proxy before it */
  open(prefix?: string, port?: number): Bucket;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Starts it again. */
  start(): Promise<void>;
  /** Paths of all its files. */
  files(): string[];
  /** Whether a text is in any of its files. */
  holds(text: string): boolean;
}

export async function openStorage(): Promise<Storage> {
  const program = await ensureStorage((line) => process.stderr.write(`${line}\n`));
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-storage-'));
  mkdirSync(join(folder, 'objects', BUCKET), { recursive: true });
  const port = await freePort();
  let server: ChildProcess | undefined;
  const start = async () => {
    const env = { AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey };
    server = spawn(program, [`127.0.0.1:${port}`, folder], { env, stdio: 'ignore' });
    for (let attempt = 0; !(await answers(port)); attempt += 1) {
      if (attempt === 300 || server.exitCode !== null) throw new Error('The storage server did not start.');
      await wait(50);
    }
  };
  const kill = async () => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGKILL');
    await exited;
  };
  const files = () =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  await start();
  return {
    port,
    endpoint: `http://127.0.0.1:${port}`,
    env: {
      GLOVEBOX_ARCHIVES: `s3://${BUCKET}/glovebox`,
      GLOVEBOX_ARCHIVE_ENDPOINT: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    },
    open: (prefix = '', at = port) =>
      new Bucket(
        {
          endpoint: new URL(`http://127.0.0.1:${at}`),
          region: 'us-east-1',
          bucket: BUCKET,
          pathStyle: true,
          credentials: () => CREDENTIALS,
          access: { proxy: {} },
        },
        prefix,
      ),
    kill,
    start,
    files,
    holds: (text) => files().some((path) => readFileSync(path).includes(text)),
    [Symbol.asyncDispose]: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
