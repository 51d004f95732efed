import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { ListedTerminal, SessionTerminals } from '../../terminals/session-terminals.ts';
import { jsonBody, jsonResponse, sessionParameter } from '../api/openapi-parts.ts';
import { readId } from '../api/sessions.ts';
import type { Env, Route } from '../route.ts';
import { attachSocket } from './attach.ts';
import { newTerminal, readFrom, readRequest } from './read-request.ts';

/** Number of viewers of one terminal. */
const MOST_VIEWERS = 16;

const listed = {
  type: 'object',
  properties: {
    terminal_id: { type: 'string' },
    started_at: { type: 'string', format: 'date-time' },
    running: { type: 'boolean' },
    exit_code: { type: ['integer', 'null'] },
    reason: { type: 'string', description: 'Why it has ended, such as "exited", "hibernated" or "server_stopped".' },
  },
  required: ['terminal_id', 'running'],
};
const terminalParameter = { name: 'terminal', in: 'path', required: true, schema: { type: 'string' } };
const fromParameter = {
  ...{ name: 'from', in: 'query', required: false, schema: { type: 'integer', minimum: 0 } },
  description: 'Offset of the first byte to send. Default: the oldest that is kept.',
};

export interface TerminalRoutesOptions {
  readonly sessions: Sessions;
  readonly log: Log;
}

/** Finds the terminals of the session in the path. */
type Find = (c: Context<Env>) => Promise<SessionTerminals>;

/** Routes to open, list, watch and end the terminals of a session. */
export function terminalRoutes(options: TerminalRoutesOptions): Route[] {
  const find: Find = async (c) =>
    (await options.sessions.getAdopted(c.var.owner, readId(c), { signal: c.req.raw.signal })).terminals;
  return [openRoute(options, find), listRoute(find), closeRoute(find), attachRoute(options, find)];
}

function openRoute({ sessions, log }: TerminalRoutesOptions, find: Find): Route {
  return {
    method: 'POST',
    path: '/sessions/:id/terminals',
    id: 'openTerminal',
    tag: 'Terminals',
    summary: 'Open a terminal: a shell, or another program, on a PTY of its own.',
    operation: {
      parameters: [sessionParameter],
      requestBody: jsonBody(newTerminal, false),
      responses: jsonResponse(201, 'The terminal.', listed, { Location: 'Path of the terminal.' }),
    },
    handle: async (c) => {
      const request = readRequest(c);
      // A session that is not there is not made for it.
      await find(c);
      using lease = await sessions.lease({ owner: c.var.owner, fallback: 'new' }, readId(c), {
        signal: c.req.raw.signal,
      });
      const terminal = await lease.session.terminals.open(request);
      log.info('opened a terminal', about(c, terminal.id));
      return c.json(toListed(terminal), 201, { Location: `/sessions/${lease.session.id}/terminals/${terminal.id}` });
    },
  };
}

function listRoute(find: Find): Route {
  return {
    method: 'GET',
    path: '/sessions/:id/terminals',
    id: 'listTerminals',
    tag: 'Terminals',
    summary: 'List the terminals of a session, and the last that have ended.',
    operation: {
      parameters: [sessionParameter],
      responses: jsonResponse(200, 'The terminals, the newest last.', {
        type: 'object',
        properties: { terminals: { type: 'array', items: listed } },
        required: ['terminals'],
      }),
    },
    handle: async (c) => c.json({ terminals: (await find(c)).list().map(toListed) }),
  };
}

function closeRoute(find: Find): Route {
  return {
    method: 'DELETE',
    path: '/sessions/:id/terminals/:terminal',
    id: 'closeTerminal',
    tag: 'Terminals',
    summary: 'Close a terminal: its program is told, and killed if it ignores that.',
    operation: { parameters: [sessionParameter, terminalParameter], responses: { 204: { description: 'Closing.' } } },
    handle: async (c) => {
      (await find(c)).get(c.req.param('terminal') ?? '').close('closed');
      return c.body(null, 204);
    },
  };
}

function attachRoute({ log }: TerminalRoutesOptions, find: Find): Route {
  return {
    method: 'GET',
    path: '/sessions/:id/terminals/:terminal/attach',
    needs: 'run',
    id: 'attachTerminal',
    tag: 'Terminals',
    summary: 'A WebSocket that shows a terminal and types into it.',
    operation: {
      parameters: [sessionParameter, terminalParameter, fromParameter],
      responses: { 101: { description: 'The WebSocket; see docs/terminal.md for its messages.' } },
    },
    handle: async (c) => {
      const { upgrade } = c.env;
      if (!upgrade) throw needsWebSocket();
      const from = readFrom(c);
      const terminal = (await find(c)).get(c.req.param('terminal') ?? '');
      if (terminal.viewers >= MOST_VIEWERS) throw tooManyViewers();
      const seen = about(c, terminal.id);
      upgrade.accept((socket) => {
        log.info('attached to a terminal', seen);
        socket.once('close', () => log.info('detached from a terminal', seen));
        attachSocket(socket, terminal, from);
      });
      return c.body(null, 204);
    },
  };
}

/** What the log says of a terminal. */
function about(c: Context<Env>, terminal: string) {
  return { session: readId(c), owner: c.var.owner, terminal };
}

function toListed(terminal: ListedTerminal) {
  const { id, startedAt, end } = terminal;
  return {
    terminal_id: id,
    ...(startedAt ? { started_at: startedAt.toISOString() } : {}),
    running: !end,
    ...(end ? { exit_code: end.exitCode, reason: end.reason } : {}),
  };
}

function tooManyViewers(): GloveboxError {
  return new GloveboxError('session_busy', `${MOST_VIEWERS} viewers look at this terminal, and no more may.`, {
    hint: 'Close one of them.',
  });
}

function needsWebSocket(): GloveboxError {
  return new GloveboxError('invalid_input', 'This route is a WebSocket, and the request does not ask for one.', {
    hint: 'Connect with a WebSocket client, with the subprotocol "glovebox.terminal".',
  });
}
