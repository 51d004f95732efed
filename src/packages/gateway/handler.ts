import type { IncomingMessage, ServerResponse } from 'node:http';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { Log } from '../../log.ts';
import type { TraceContext } from '../../telemetry/trace.ts';
import type { FileStore } from '../files/file-store.ts';
import type { MetadataStore } from '../files/metadata-store.ts';
import type { IndexFile } from '../index/index-page.ts';
import type { Indexes } from '../index/indexes.ts';
import { describeProjectStatus } from '../index/project-status.ts';
import type { GatewayTraffic } from '../upstream/gateway-stats.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import { Problem, toProblem } from '../upstream/problem.ts';
import type { Policy } from './policy.ts';
import { GoneError, type Reply, sendBody, sendProblem } from './reply.ts';
import { parseRoute, type Route } from './route.ts';
import { serveFile } from './serve-file.ts';
import { servePage } from './serve-page.ts';
import { traceServing } from './traced-serving.ts';

/** The session of a connection, and the listeners for its events. */
export interface GatewayClient {
  readonly owner: string;
  readonly session: string;
  /** Called while a file is sent: at the start, at intervals, and at the end (`bytes === total`, if that is known). */
  onDownload?(event: { file: string; bytes: number; total?: number; cached: boolean }): void;
  /** Called with each error that an installer gets, as installers do not always show it. */
  onProblem?(event: { subject: string; status: number; message: string }): void;
  /** Called with the status of a project when one of its files is sent. */
  onNotice?(event: { subject: string; message: string }): void;
  /** The installation that is going on in the session, if that is traced. */
  trace?(): TraceContext | undefined;
}

export interface GatewayParts {
  readonly policy: Policy;
  readonly indexes: Indexes;
  readonly files: FileStore;
  readonly metadata: MetadataStore;
  readonly limits: GatewayLimits;
  readonly traffic: GatewayTraffic;
  readonly log: Log;
}

/** Interval between two download events of one file, in milliseconds. */
const PROGRESS_MS = 100;

/** Answers one request. Never rejects. */
export async function handleRequest(
  parts: GatewayParts,
  client: GatewayClient,
  request: IncomingMessage,
  response: ServerResponse,
  bounds: { signal: AbortSignal; isWithinRate: boolean },
): Promise<void> {
  const { signal } = bounds;
  const reply: Reply = { response, isHead: request.method === 'HEAD', signal, idleMs: parts.limits.clientIdleMs };
  let route: Route | undefined;
  try {
    if (!bounds.isWithinRate)
      throw new Problem(429, 'This session sends too many requests to the package index. Slow down.');
    route = parseRoute(request);
    const found = route;
    await traceServing(client.trace?.(), route, () => answer(parts, client, request, reply, found));
  } catch (thrown) {
    if (signal.aborted || thrown instanceof GoneError) return;
    await reportProblem(parts, client, reply, route, toProblem(thrown));
  }
}

async function answer(
  parts: GatewayParts,
  client: GatewayClient,
  request: IncomingMessage,
  reply: Reply,
  route: Route,
): Promise<void> {
  const { policy, indexes } = parts;
  if (route.to === 'redirect') {
    reply.response.writeHead(301, { location: route.location, 'content-length': 0 });
    await sendBody(reply, []);
    return;
  }
  policy.checkProject(route.project);
  const page = await unlessAborted(indexes.project(route.project), reply.signal);
  if (route.to === 'page') {
    const refusal = await servePage(request, reply, { page, policy });
    if (refusal) client.onProblem?.({ subject: route.project, status: refusal.status, message: refusal.message });
    return;
  }
  if (page.status?.status === 'quarantined') throw new Problem(403, describeProjectStatus(route.project, page.status));
  const file = page.files.find(({ id, filename }) => id === route.id && filename === route.filename);
  if (!file)
    throw new Problem(
      404,
      `The package index has no such file of ${route.project}. Request the page of the project again.`,
    );
  if (!policy.permits(route.project, file.filename)) policy.refuseFile(file.filename);
  if (route.to === 'unpacked') await sendUnpackedSize(parts, reply, file);
  else if (route.to === 'metadata') await sendMetadata(parts, reply, file);
  else {
    if (page.status) {
      client.onNotice?.({ subject: route.project, message: describeProjectStatus(route.project, page.status) });
    }
    await sendFile(parts, client, request, reply, { project: route.project, file });
  }
}

async function sendMetadata({ metadata, traffic }: GatewayParts, reply: Reply, file: IndexFile): Promise<void> {
  const content = await unlessAborted(metadata.get(file), reply.signal);
  reply.response.writeHead(200, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': content.length,
    'cache-control': 'max-age=31536000, immutable',
  });
  await sendBody(reply, [content]);
  traffic.bytesServed += content.length;
}

async function sendUnpackedSize({ metadata }: GatewayParts, reply: Reply, file: IndexFile): Promise<void> {
  const content = Buffer.from(String(await unlessAborted(metadata.unpackedSize(file), reply.signal)));
  reply.response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': content.length });
  await sendBody(reply, [content]);
}

async function sendFile(
  { files, limits, traffic, log }: GatewayParts,
  client: GatewayClient,
  request: IncomingMessage,
  reply: Reply,
  { project, file }: { project: string; file: IndexFile },
): Promise<void> {
  let reportedMs = -Infinity;
  const progress = (event: { bytes: number; total?: number; cached: boolean }) => {
    if (Date.now() - reportedMs < PROGRESS_MS && event.bytes !== event.total) return;
    reportedMs = Date.now();
    client.onDownload?.({ file: file.filename, ...event });
  };
  const { bytes, cached } = await serveFile(request, reply, file, {
    files,
    heldBackBytes: limits.heldBackBytes,
    progress,
  });
  traffic.bytesServed += bytes;
  if (cached) traffic.fileHits += 1;
  const { owner, session } = client;
  log.info('package file served', {
    owner,
    session,
    project,
    version: file.version,
    file: file.filename,
    bytes,
    cached,
  });
}

async function reportProblem(
  { traffic, log }: GatewayParts,
  client: GatewayClient,
  reply: Reply,
  route: Route | undefined,
  problem: Problem,
): Promise<void> {
  const { owner, session } = client;
  const subject = route && 'filename' in route ? route.filename : route && 'project' in route ? route.project : '';
  const fields = { owner, session, subject, status: problem.status, message: problem.message };
  if (problem.status >= 500) traffic.failures += 1;
  if (problem.status === 500) log.error('package gateway failed', { ...fields, error: problem.cause });
  // At debug level, because a sandbox can cause many of them. Errors of an index are logged elsewhere.
  else log.debug('package request refused', fields);
  client.onProblem?.({ subject, status: problem.status, message: problem.message });
  await sendProblem(reply, problem).catch(() => {});
}
