import {
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type ReadResourceResult,
  type Resource,
  ResourceNotFoundError,
  ResourceTemplate,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { type GloveboxError, toGloveboxError } from '../errors.ts';
import { SessionFiles } from '../files/session-files.ts';
import { followSignal } from '../lib/follow-signal.ts';
import { mediaTypeOf, UNKNOWN_TYPE } from '../lib/media-types.ts';
import type { Lease, Sessions } from '../sessions/sessions.ts';
import { type Connection, sessionInAddress } from './connection.ts';

const TEMPLATE = 'glovebox://sessions/{session_id}/files/{+path}';
const PATTERN = /^glovebox:\/\/sessions\/([^/?#]+)\/files\/([^?#]+)$/;
/** Files in a list. */
const MOST_RESOURCES = 200;
/** Sessions whose files are listed. Each one starts a process in its sandbox. */
const MOST_SESSIONS = 10;
/** Bytes of a file that can be read as a resource. */
const MOST_BYTES = 2 ** 20;
/** Cache hint for files: they may change whenever code runs, and belong to one owner. */
export const FILES_HINT = { ttlMs: 0, cacheScope: 'private' } as const;

/** URI of a file of a session. */
function resourceUri(sessionId: string, path: string): string {
  return `glovebox://sessions/${sessionId}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Offers the files of the caller's sessions as resources. A list does not create sessions, and does not wake any. */
export function addFileResources(server: McpServer, sessions: Sessions, connection: Connection): void {
  server.registerResource(
    'session-files',
    new ResourceTemplate(TEMPLATE, {
      list: async (context) => ({ resources: await listResources(sessions, connection, context) }),
    }),
    {
      title: 'Files of a session',
      description: 'Files in the workspace of the session; path is relative to /workspace.',
      cacheHint: FILES_HINT,
    },
    (uri, _variables, context) => readResource(sessions, connection, uri.href, context),
  );
}

async function listResources(sessions: Sessions, connection: Connection, context: ServerContext): Promise<Resource[]> {
  const found: Resource[] = [];
  using call = followSignal(context.mcpReq.signal);
  const listed = listedSessions(sessions, connection, context);
  const several = listed.length > 1;
  for (const id of listed) {
    const limit = MOST_RESOURCES - found.length;
    if (limit <= 0) break;
    try {
      using lease = await leaseExisting(sessions, connection.owner, id);
      const { entries } = await new SessionFiles(lease.session, call.signal).list('.', { recursive: true });
      const files = entries.filter(({ type }) => type === 'file');
      for (const { path, size, modified } of files.slice(0, limit)) {
        found.push({
          uri: resourceUri(id, path),
          name: path,
          title: several ? `${path} (session ${id})` : path,
          mimeType: mediaTypeOf(path),
          size,
          annotations: { lastModified: modified.toISOString() },
        });
      }
    } catch {
      // A session that has just ended, or that fails, must not hide the others.
    }
  }
  return found;
}

/**
 * The session that the client uses, or else all active sessions of the owner, the most recently used first. Hibernated
 * sessions are left out: clients list resources by themselves, and each session would need a container again.
 */
function listedSessions(sessions: Sessions, connection: Connection, { http }: ServerContext): string[] {
  const { owner, binding } = connection;
  const all = sessions.list(owner);
  const addressed = connection.addressed ?? sessionInAddress(http?.req);
  const named = addressed ?? http?.req?.headers.get('x-session-id') ?? binding?.sessionId;
  const own = all.filter(({ session_id }) => session_id === named);
  return (own.length > 0 ? own : all)
    .filter(({ state }) => state === 'active')
    .sort((a, b) => b.last_used_at.localeCompare(a.last_used_at))
    .slice(0, MOST_SESSIONS)
    .map(({ session_id }) => session_id);
}

async function readResource(
  sessions: Sessions,
  connection: Connection,
  uri: string,
  context: ServerContext,
): Promise<ReadResourceResult> {
  const [, id, encoded] = PATTERN.exec(uri) ?? [];
  if (id === undefined || encoded === undefined) throw new ResourceNotFoundError(uri);
  using call = followSignal(context.mcpReq.signal);
  connection.running += 1;
  try {
    const path = decodeURIComponent(encoded);
    using lease = await leaseExisting(sessions, connection.owner, decodeURIComponent(id));
    const { content } = await new SessionFiles(lease.session, call.signal).read(path, {}, MOST_BYTES);
    return { contents: [toContents(uri, path, content)] };
  } catch (thrown) {
    throw toProtocolError(uri, thrown);
  } finally {
    connection.running -= 1;
  }
}

/** Leases a session that exists. @throws GloveboxError `session_not_found`, also for the session of another owner */
async function leaseExisting(sessions: Sessions, owner: string, id: string): Promise<Lease> {
  await sessions.describe(owner, id);
  return await sessions.lease({ owner, fallback: 'owner' }, id);
}

function toContents(uri: string, path: string, content: Buffer) {
  const mimeType = mediaTypeOf(path);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    return { uri, mimeType: mimeType === UNKNOWN_TYPE ? 'text/plain' : mimeType, text };
  } catch {
    return { uri, mimeType, blob: content.toString('base64') };
  }
}

function toProtocolError(uri: string, thrown: unknown): ProtocolError {
  if (thrown instanceof URIError) return new ResourceNotFoundError(uri);
  const error: GloveboxError = toGloveboxError(thrown);
  if (error.status === 404) return new ResourceNotFoundError(uri);
  const code = error.status < 500 ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError;
  return new ProtocolError(code, `${error.message} ${error.hint}`);
}
