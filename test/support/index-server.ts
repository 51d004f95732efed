import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { noise, type TestWheel } from './distributions.ts';

/** How an index says what a file is; `sha256` and metadata unless told otherwise. */
export interface Offer {
  readonly hash?: 'sha256' | 'sha512' | 'md5' | 'none' | 'lie';
  /** `missing`: announced, and not there. */
  readonly metadata?: 'hashed' | 'bare' | 'none' | 'lie' | 'missing';
  readonly requiresPython?: string;
  readonly yanked?: string;
  /** Bytes that the page says it has. */
  readonly size?: number;
  /** Where the page says that the file is; by default at this server. */
  readonly href?: string;
  /** Keys of its JSON in place of those that the above make. */
  readonly json?: Readonly<Record<string, unknown>>;
}

/** What an index says of a whole project (PEP 792). */
export interface ProjectStatus {
  readonly status: string;
  readonly reason?: string;
}

/** What happens to requests whose path begins with the fault's. */
export type Fault =
  | { readonly kind: 'down' | 'silent' | 'stall' | 'truncate' | 'corrupt' | 'garbage' | 'endless' | 'enormous' }
  /** A file that is asked for in one piece stops in the middle; parts of it, and its metadata, come. */
  | { readonly kind: 'halt' }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'redirect'; readonly to: string };

/** A wheel, or any file of a project. */
export type TestFile = Pick<TestWheel, 'name' | 'filename' | 'content' | 'metadata'>;
type Entry = { file: TestFile; offer: Offer };

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';

/** A package index on loopback: PEP 503, 691 and 658, with faults that can be switched on by path. */
export class IndexServer implements AsyncDisposable {
  /** `METHOD path` of every request, in order. */
  readonly requests: string[] = [];
  /** The Authorization header of every request, in order. */
  readonly authorizations: (string | undefined)[] = [];
  readonly faults = new Map<string, Fault>();
  /** Answers 401 without it. */
  login: { user: string; password: string } | undefined;
  formats: 'both' | 'html' = 'both';
  ranges = true;
  readonly #server: Server;
  readonly #projects = new Map<string, Entry[]>();
  readonly #statuses = new Map<string, ProjectStatus>();

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<IndexServer> {
    const server = new IndexServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What an installer is given; with the login when there is one. */
  get url(): string {
    const { user, password } = this.login ?? {};
    return `http://${user ? `${user}:${encodeURIComponent(password ?? '')}@` : ''}127.0.0.1:${this.port}/simple/`;
  }

  add(file: TestFile, offer: Offer = {}): void {
    const project = file.name.toLowerCase().replace(/[-_.]+/g, '-');
    this.#projects.set(project, [...(this.#projects.get(project) ?? []), { file, offer }]);
  }

  /** Marks a project, which need not have files. */
  mark(project: string, status: ProjectStatus): void {
    this.#statuses.set(project, status);
    this.#projects.set(project, this.#projects.get(project) ?? []);
  }

  /** How many requests had a path that begins so. */
  count(path: string, method = 'GET'): number {
    return this.requests.filter((request) => request.startsWith(`${method} ${path}`)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.requests.push(`${request.method} ${path}`);
    this.authorizations.push(request.headers.authorization);
    const expected =
      this.login && `Basic ${Buffer.from(`${this.login.user}:${this.login.password}`).toString('base64')}`;
    if (expected && request.headers.authorization !== expected) return void response.writeHead(401).end();
    const fault = [...this.faults].find(([prefix]) => path.startsWith(prefix))?.[1];
    const found = this.#find(path, request.headers.accept ?? '');
    const isSpared = fault?.kind === 'halt' && (request.headers.range !== undefined || path.endsWith('.metadata'));
    if (fault && !isSpared && causeFault(fault, response, found?.content ?? Buffer.alloc(1000))) return;
    if (!found) return void response.writeHead(404).end('no such thing');
    const content = fault?.kind === 'corrupt' ? Buffer.from(found.content).fill('x', 40, 60) : found.content;
    const etag = `"${createHash('md5').update(content).digest('hex')}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    const headers = { 'content-type': found.type, etag };
    const [, first = '', last = ''] = (this.ranges && /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '')) || [];
    if (!first && !last)
      return void response.writeHead(200, { ...headers, 'content-length': content.length }).end(content);
    const start = first ? Number(first) : Math.max(0, content.length - Number(last));
    const end = first && last ? Math.min(Number(last), content.length - 1) : content.length - 1;
    const described = { 'content-range': `bytes ${start}-${end}/${content.length}`, 'content-length': end - start + 1 };
    response.writeHead(206, { ...headers, ...described }).end(content.subarray(start, end + 1));
  }

  #find(path: string, accept: string): { content: Buffer; type: string } | undefined {
    const [, kind, name = ''] = path.split('/');
    if (kind === 'simple') {
      const entries = this.#projects.get(name);
      const json = this.formats === 'both' && accept.includes(JSON_TYPE);
      return (
        entries && {
          content: Buffer.from(
            json ? asJson(name, entries, this.#statuses.get(name)) : asHtml(entries, this.#statuses.get(name)),
          ),
          type: json ? JSON_TYPE : 'text/html',
        }
      );
    }
    const { file, offer } =
      [...this.#projects.values()].flat().find(({ file }) => decodeURIComponent(name).startsWith(file.filename)) ?? {};
    if (kind !== 'files' || !file) return undefined;
    if (!name.endsWith('.metadata')) return { content: file.content, type: 'application/octet-stream' };
    return offer?.metadata === 'none' || offer?.metadata === 'missing'
      ? undefined
      : { content: file.metadata, type: 'text/plain' };
  }
}

/** False when the request is to be answered after all. */
function causeFault(fault: Fault, response: ServerResponse, content: Buffer): boolean {
  switch (fault.kind) {
    case 'down':
      response.destroy();
      return true;
    case 'silent':
      return true;
    case 'stall':
    case 'halt':
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, content.length / 2));
      return true;
    case 'truncate':
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, content.length / 2), () => response.destroy());
      return true;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'text/html' }).end(noise(5000));
      return true;
    case 'enormous':
      response.writeHead(200, { 'content-length': 10 * 2 ** 30 }).write(content);
      return true;
    case 'endless': {
      response.writeHead(200, { 'content-type': 'text/html' });
      const more = () => {
        while (!response.destroyed && response.write(`<a href="x">${'x'.repeat(65_536)}`));
      };
      response.on('drain', more);
      more();
      return true;
    }
    case 'status':
      response.writeHead(fault.status).end('as told');
      return true;
    case 'redirect':
      response.writeHead(302, { location: fault.to }).end();
      return true;
    default:
      return false;
  }
}

function digestOf(content: Buffer, kind: Offer['hash'] = 'sha256'): Record<string, string> {
  if (kind === 'none') return {};
  if (kind === 'lie') return { sha256: createHash('sha256').update('something else').digest('hex') };
  return { [kind]: createHash(kind).update(content).digest('hex') };
}

function metadataOf({ file, offer }: Entry): Record<string, string> | boolean {
  const { metadata = 'hashed' } = offer;
  if (metadata === 'none' || metadata === 'bare') return metadata === 'bare';
  return digestOf(file.metadata, metadata === 'lie' ? 'lie' : 'sha256');
}

function asJson(name: string, entries: readonly Entry[], status: ProjectStatus | undefined): string {
  const files = entries.map((entry) => ({
    filename: entry.file.filename,
    url: entry.offer.href ?? `../../files/${entry.file.filename}`,
    hashes: digestOf(entry.file.content, entry.offer.hash),
    size: entry.offer.size ?? entry.file.content.length,
    'core-metadata': metadataOf(entry),
    ...(entry.offer.requiresPython ? { 'requires-python': entry.offer.requiresPython } : {}),
    yanked: entry.offer.yanked ?? false,
    ...entry.offer.json,
  }));
  const marked = status ? { 'project-status': status } : {};
  return JSON.stringify({ meta: { 'api-version': status ? '1.4' : '1.1' }, name, ...marked, versions: [], files });
}

function asHtml(entries: readonly Entry[], status: ProjectStatus | undefined): string {
  const links = entries.map((entry) => {
    const [hash] = Object.entries(digestOf(entry.file.content, entry.offer.hash));
    const metadata = metadataOf(entry);
    const [proof] = typeof metadata === 'object' ? Object.entries(metadata) : [];
    return [
      `<a href="${entry.offer.href ?? `../../files/${entry.file.filename}`}${hash ? `#${hash.join('=')}` : ''}"`,
      metadata ? ` data-core-metadata="${proof ? proof.join('=') : 'true'}"` : '',
      entry.offer.requiresPython ? ` data-requires-python="${entry.offer.requiresPython.replace('>', '&gt;')}"` : '',
      entry.offer.yanked === undefined ? '' : ` data-yanked="${entry.offer.yanked}"`,
      `>${entry.file.filename}</a><br>`,
    ].join('');
  });
  const marks = status
    ? Object.entries({ 'pypi:project-status': status.status, 'pypi:project-status-reason': status.reason ?? '' })
    : [];
  const metas = marks.map(([name, content]) => `<meta name="${name}" content="${content}">`);
  return `<!DOCTYPE html><html><head>${metas.join('')}</head><body>\n${links.join('\n')}\n</body></html>`;
}
