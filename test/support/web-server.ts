import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { makeCertificate } from './certificate.ts';

/** An address of this host's loopback that is not the sandbox's own, for which code asks the proxy. */
export const WEB_HOST = '127.0.0.2';

export interface WebServer extends AsyncDisposable {
  /** Port of plain HTTP, and of HTTPS. */
  readonly http: number;
  readonly https: number;
  /** Certificate of the server, which is its own authority. */
  readonly certificate: string;
  /** Requests so far. */
  readonly requests: IncomingMessage[];
}

/** Answers a request. Returns false if it is none of its own. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Files of a server, by their paths. */
const FILES: Readonly<Record<string, readonly [type: string, text: string]>> = {
  '/hello': ['text/plain', 'hello'],
  '/table.csv': ['text/csv', 'a,b\n1,2\n3,4\n'],
  '/table.json': ['application/json', '[{"a": 1, "b": 2}]'],
};

/** A real web server over HTTP and HTTPS: a few files, a repository of git at `/repo.git`, and an echo over WebSocket. */
export async function startWebServer(own: Answer = () => false): Promise<WebServer> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-web-'));
  const { cert: certificate, key } = makeCertificate([`IP:${WEB_HOST}`]);
  makeRepository(folder);
  const requests: IncomingMessage[] = [];
  const handle: RequestListener = (request, response) => {
    requests.push(request);
    if (own(request, response)) return;
    const path = request.url ?? '';
    if (path.startsWith('/repo.git')) return void serveGit(folder, request, response);
    if (path === '/echo') return void request.pipe(response);
    const [type, text] = FILES[path] ?? [];
    if (type === undefined) response.statusCode = 404;
    response.setHeader('Content-Type', type ?? 'text/plain').end(text ?? 'There is nothing here.');
  };
  const servers = [createHttpServer(handle), createHttpsServer({ key, cert: certificate }, handle)] as const;
  for (const server of servers) echoOver(server);
  const [http, https] = [await listen(servers[0]), await listen(servers[1])];
  return {
    ...{ http, https, certificate, requests },
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, WEB_HOST);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A repository with one commit of one file. */
function makeRepository(folder: string): void {
  const work = join(folder, 'work');
  const as = ['-c', 'user.name=Test', '-c', 'user.email=test@example.com'];
  const git = (...words: string[]) => {
    const { status, stderr } = spawnSync('git', words, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`git failed: ${stderr}`);
  };
  git('init', '-q', '-b', 'main', work);
  spawnSync('sh', ['-c', 'echo content > file.txt'], { cwd: work });
  git('-C', work, 'add', 'file.txt');
  git('-C', work, ...as, 'commit', '-q', '-m', 'A commit');
  git('clone', '-q', '--bare', work, join(folder, 'repo.git'));
}

/** Serves a repository as a web server with CGI does. */
async function serveGit(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, search } = new URL(request.url ?? '', 'http://server');
  const env = {
    ...{ PATH: process.env['PATH'], GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1', REMOTE_USER: '' },
    ...{ PATH_INFO: pathname, QUERY_STRING: search.slice(1), REQUEST_METHOD: request.method },
    ...{ CONTENT_TYPE: request.headers['content-type'], HTTP_CONTENT_ENCODING: request.headers['content-encoding'] },
    ...{ HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? '') },
  };
  const child = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  request.pipe(child.stdin);
  const output = Buffer.concat(await child.stdout.toArray());
  const end = output.indexOf('\r\n\r\n');
  for (const line of output.subarray(0, end).toString('latin1').split('\r\n')) {
    const [name = '', value = ''] = line.split(/: (.*)/);
    if (name === 'Status') response.statusCode = Number(value.slice(0, 3));
    else response.setHeader(name, value);
  }
  response.end(output.subarray(end + 4));
}

/** Echoes messages over WebSocket on any path. */
function echoOver(server: HttpServer): void {
  new WebSocketServer({ server }).on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
}
