import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface ReceivedReport {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** As JSON, which the sender has to be set to. */
  readonly body: { readonly resourceSpans?: SpanReport[] };
}

interface SpanReport {
  readonly scopeSpans: { readonly spans: ReportedSpan[] }[];
}

export interface ReportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly links?: { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code?: number };
  readonly attributes: { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** What takes reports in OTLP, and can fail in ways in which a real collector does not on demand. */
export class OtlpReceiver implements AsyncDisposable {
  readonly reports: ReceivedReport[] = [];
  /** Status of its answers. `silent`: it does not answer. */
  answer: number | 'silent' = 200;
  readonly #server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      const sent = Buffer.concat(pieces);
      const text = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
      this.reports.push({ path, headers, body: JSON.parse(text.toString('utf8')) });
      this.#received();
      if (this.answer !== 'silent') response.writeHead(this.answer, { 'content-type': 'application/json' }).end('{}');
    });
  });
  #received: () => void = () => {};

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get spans(): ReportedSpan[] {
    return this.reports.flatMap(({ body }) =>
      (body.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  }

  /** Resolves once a number of reports has come. */
  async received(count: number): Promise<void> {
    while (this.reports.length < count) {
      await new Promise<void>((resolve) => {
        this.#received = resolve;
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
