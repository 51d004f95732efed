import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureCollector } from '../../scripts/collector/program.ts';
import { freePort } from './free-port.ts';
import { exitOf } from './server.ts';

/** A span as it reached the collector. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2 for an error. */
  readonly status: number;
  readonly links: readonly { readonly traceId: string }[];
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OtlpLine {
  readonly resourceSpans?: { scopeSpans: { spans: OtlpSpan[] }[] }[];
  readonly resourceMetrics?: { scopeMetrics: { metrics: { name: string }[] }[] }[];
}

interface OtlpSpan extends Omit<CollectedSpan, 'attributes' | 'status' | 'links' | 'parentSpanId'> {
  readonly parentSpanId?: string;
  readonly attributes?: OtlpAttribute[];
  readonly status?: { code?: number };
  readonly links?: { traceId: string }[];
}

/** An OpenTelemetry Collector that writes what it gets to a file. It keeps its port and file when it is started again. */
export class Collector implements AsyncDisposable {
  readonly url: string;
  readonly #program: string;
  readonly #folder: string;
  #running: { readonly end: () => Promise<unknown> } | undefined;

  private constructor(program: string, port: number) {
    this.#program = program;
    this.#folder = mkdtempSync(join(tmpdir(), 'glovebox-collector-'));
    this.url = `http://127.0.0.1:${port}`;
    const protocols = { http: { endpoint: `127.0.0.1:${port}` } };
    const pipeline = { receivers: ['otlp'], exporters: ['file'] };
    const config = {
      receivers: { otlp: { protocols } },
      exporters: { file: { path: join(this.#folder, 'received.jsonl'), append: true, flush_interval: '50ms' } },
      service: { telemetry: { metrics: { level: 'none' } }, pipelines: { traces: pipeline, metrics: pipeline } },
    };
    // JSON is YAML.
    writeFileSync(join(this.#folder, 'config.yaml'), JSON.stringify(config));
  }

  static async start(): Promise<Collector> {
    const program = await ensureCollector(() => {});
    const collector = new Collector(program, await freePort());
    await collector.start();
    return collector;
  }

  async start(): Promise<void> {
    const child = spawn(this.#program, ['--config', join(this.#folder, 'config.yaml')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = exitOf(child);
    this.#running = {
      end: () => {
        child.kill('SIGKILL');
        return exited;
      },
    };
    let said = '';
    await new Promise<void>((resolve, reject) => {
      void exited.then(() => reject(new Error(`the collector has ended:\n${said}`)));
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (/Everything is ready/.test(said)) resolve();
      });
    });
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    await this.#running?.end();
    this.#running = undefined;
  }

  /** All that it has received, as text. */
  get text(): string {
    const file = join(this.#folder, 'received.jsonl');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  get spans(): CollectedSpan[] {
    return this.#lines
      .flatMap(({ resourceSpans = [] }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans))
      .flatMap(({ spans }) => spans.map(toCollected));
  }

  get metricNames(): Set<string> {
    const scopes = this.#lines.flatMap(({ resourceMetrics = [] }) =>
      resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics),
    );
    return new Set(scopes.flatMap(({ metrics }) => metrics.map(({ name }) => name)));
  }

  get #lines(): OtlpLine[] {
    const whole = this.text.split('\n').slice(0, -1);
    return whole.map((line) => JSON.parse(line) as OtlpLine);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}

function toCollected({ parentSpanId = '', attributes = [], status, links = [], ...span }: OtlpSpan): CollectedSpan {
  const read = attributes.map(({ key, value }) => [key, Object.values(value)[0]]);
  return { ...span, parentSpanId, attributes: Object.fromEntries(read), status: status?.code ?? 0, links };
}
