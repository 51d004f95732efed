import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ClusterAccess } from '../../src/engines/kubernetes/api/access.ts';

export interface ApiServer extends AsyncDisposable {
  readonly access: ClusterAccess;
  /** Method and address of each request so far. */
  readonly asked: string[];
  /** Breaks every connection, as a crash does. */
  breakAll(): void;
}

interface Answers {
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Takes each WebSocket that is opened. */
  readonly exec?: (socket: WebSocket, request: IncomingMessage) => void;
  /** Refuses each WebSocket. */
  readonly refuseExec?: { readonly status: number; readonly body: object };
  /** Protocols of WebSockets that it speaks. */
  readonly protocols?: readonly string[];
  readonly credentials?: ClusterAccess['credentials'];
}

/** Starts a server that answers as a test says, for lines that break where no real API server would break them. */
export async function startApiServer(answers: Answers): Promise<ApiServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answers.answer?.(request, response);
  });
  const { protocols = ['v5.channel.k8s.io'] } = answers;
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (wanted) => protocols.find((name) => wanted.has(name)) ?? false,
  });
  server.on('upgrade', (request, socket, head) => {
    asked.push(`${request.method} ${request.url}`);
    if (answers.refuseExec) {
      const { status, body } = answers.refuseExec;
      socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\n\r\n${JSON.stringify(body)}`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => answers.exec?.(opened, request));
  });
  const open = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const breakAll = () => {
    for (const socket of open) socket.destroy();
  };
  return {
    access: {
      server: new URL(`http://127.0.0.1:${port}`),
      source: 'a test',
      namespace: 'sandboxes',
      trust: {},
      proxy: undefined,
      credentials: answers.credentials ?? (async () => ({ headers: {} })),
    },
    asked,
    breakAll,
    [Symbol.asyncDispose]: async () => {
      server.close();
      breakAll();
      await once(server, 'close');
    },
  };
}

/** Sends JSON. */
export function reply(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
