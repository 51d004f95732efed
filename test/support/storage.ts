import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ensureStorage, type StorageKind } from '../../scripts/storage/program.ts';
import { Bucket } from '../../src/s3/bucket.ts';
import type { Certificate } from './certificate.ts';
import { freePort } from './free-port.ts';

export const CREDENTIALS = { accessKeyId: 'glovebox', secretAccessKey: 'a-secret-of-the-tests' };
const BUCKET = 'archives';
/** Server that the tests run with: another one by the variable STORAGE. */
export const STORAGE: StorageKind = process.env['STORAGE'] === 'rclone' ? 'rclone' : 'versity';

export interface StorageOptions {
  /** Size of the file system that it has for itself, in MiB. Default: that of the machine. */
  readonly roomMb?: number;
  /** Address of this machine that it listens on. Default: loopback. */
  readonly host?: string;
  /** Certificate that it shows. Default: it does not speak TLS. */
  readonly certificate?: Certificate;
}

/** A real server of the S3 protocol, over a folder of its own. */
export interface Storage extends AsyncDisposable {
  readonly port: number;
  readonly endpoint: string;
  /** Settings of a Glovebox whose archives are in it. */
  readonly env: Readonly<Record<string, string>>;
  /** Opens its bucket. @param port of a proxy before it */
  open(prefix?: string, port?: number): Bucket;
  /** Ends it as a crash does. What it had on a file system of its own is gone. */
  kill(): Promise<void>;
  /** Starts it again. @param options `readOnly`: so that it refuses to be written to */
  start(options?: { readonly readOnly?: boolean }): Promise<void>;
  /** Has it stand still, with its connections open. */
  pause(): void;
  resume(): void;
  /** Changes the file system that it has for itself. @param options those of mount, such as `ro` */
  remount(options: string): void;
  /** Path to its folder. */
  readonly folder: string;
  /** Paths of all its files. */
  files(): string[];
  /** Whether a text is in any of its files. */
  holds(text: string): boolean;
}

export async function openStorage({ roomMb, host = '127.0.0.1', certificate }: StorageOptions = {}): Promise<Storage> {
  const program = await ensureStorage(STORAGE, (line) => process.stderr.write(`${line}\n`));
  const root = mkdtempSync(join(tmpdir(), 'glovebox-storage-'));
  const data = join(root, 'data');
  mkdirSync(join(data, 'objects', BUCKET), { recursive: true });
  const port = await freePort();
  let server: ChildProcess | undefined;
  // A file system of its own is seen by its process alone.
  const folder = () => (roomMb === undefined ? data : join('/proc', String(server?.pid), 'root', data));
  const start = async ({ readOnly = false } = {}) => {
    const env = {
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      ...(readOnly ? { STORAGE_READONLY: '1' } : {}),
      ...(certificate ? writeCertificate(root, certificate) : {}),
    };
    const run = [program, ...wordsFor(`${host}:${port}`, data)];
    const mount = `mount -t tmpfs -o size=${roomMb}m tmpfs "$0" && mkdir -p "$0/objects/${BUCKET}" && exec "$@"`;
    const [command = '', ...words] =
      roomMb === undefined ? run : ['unshare', '--mount', 'sh', '-c', mount, data, ...run];
    server = spawn(command, words, {
      env: { ...env, PATH: process.env['PATH'] ?? '' },
      stdio: 'ignore',
    });
    for (let attempt = 0; !(await answers(host, port)); attempt += 1) {
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
    readdirSync(folder(), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  await start();
  const endpoint = `${certificate ? 'https' : 'http'}://${host}:${port}`;
  return {
    port,
    endpoint,
    get folder() {
      return folder();
    },
    env: {
      GLOVEBOX_ARCHIVES: `s3://${BUCKET}/glovebox`,
      GLOVEBOX_ARCHIVE_ENDPOINT: endpoint,
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    },
    open: (prefix = '', at = port) =>
      new Bucket(
        {
          endpoint: new URL(`http://${host}:${at}`),
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
    pause: () => void server?.kill('SIGSTOP'),
    resume: () => void server?.kill('SIGCONT'),
    remount: (options) => {
      const own = ['--target', String(server?.pid), '--mount'];
      execFileSync('nsenter', [...own, 'mount', '-o', `remount,${options}`, data]);
    },
    files,
    holds: (text) => files().some((path) => readFileSync(path).includes(text)),
    [Symbol.asyncDispose]: async () => {
      await kill();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Arguments of the server. Each folder in `objects` is a bucket. */
function wordsFor(address: string, folder: string): string[] {
  if (STORAGE === 'versity') return [address, folder];
  const { accessKeyId, secretAccessKey } = CREDENTIALS;
  return ['serve', 's3', '--addr', address, '--auth-key', `${accessKeyId},${secretAccessKey}`, join(folder, 'objects')];
}

function writeCertificate(folder: string, { cert, key }: Certificate): Record<string, string> {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  return { STORAGE_CERT: certFile, STORAGE_KEY: keyFile };
}

async function answers(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
