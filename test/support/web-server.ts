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
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
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

/** Where a server listens: at all of the addresses, at the same two ports. */
export interface WebPlace {
  readonly addresses: readonly string[];
  readonly ports: { readonly http: number; readonly https: number };
  /** Names and addresses that the certificate is for, as `DNS:web.example` and `IP:127.0.0.2`. */
  readonly names: readonly string[];
  /** Is told the address of each connection. */
  readonly onConnection?: (address: string) => void;
}

const LOOPBACK: WebPlace = { addresses: [WEB_HOST], ports: { http: 0, https: 0 }, names: [`IP:${WEB_HOST}`] };

/** A real web server over HTTP and HTTPS: a few files, a repository of git at `/repo.git`, and an echo over WebSocket. */
export async function startWebServer(own: Answer = () => false, place: WebPlace = LOOPBACK): Promise<WebServer> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-web-'));
  const { cert: certificate, key } = makeCertificate(place.names);
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
  const servers: (HttpServer | HttpsServer)[] = [];
  const serve = async (server: HttpServer | HttpsServer, port: number, address: string) => {
    servers.push(server);
    server.on('connection', () => place.onConnection?.(address));
    echoOver(server);
    return await listen(server, port, address);
  };
  const { ports, addresses } = place;
  let [http, https] = [0, 0];
  for (const address of addresses) {
    http = await serve(createHttpServer(handle), ports.http, address);
    https = await serve(createHttpsServer({ key, cert: certificate }, handle), ports.https, address);
  }
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

async function listen(server: Server, port: number, address: string): Promise<number> {
  server.listen(port, address);
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
function echoOver(server: HttpServer | HttpsServer): void {
  new WebSocketServer({ server }).on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
}
