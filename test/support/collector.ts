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

/** An OpenTelemetry Collector that writes what it gets to files, one for each start. It keeps its port when it is started again. */
export class Collector implements AsyncDisposable {
  readonly url: string;
  readonly #program: string;
  readonly #folder: string;
  readonly #port: number;
  /** What it has received, a file for each start: a crash can leave half of a line. */
  readonly #files: string[] = [];
  #running: { readonly end: () => Promise<unknown> } | undefined;

  private constructor(program: string, port: number) {
    this.#program = program;
    this.#port = port;
    this.#folder = mkdtempSync(join(tmpdir(), 'glovebox-collector-'));
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<Collector> {
    const program = await ensureCollector(() => {});
    const collector = new Collector(program, await freePort());
    await collector.start();
    return collector;
  }

  async start(): Promise<void> {
    const child = spawn(this.#program, ['--config', this.#configure()], { stdio: ['ignore', 'ignore', 'pipe'] });
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

  /** All that it has received, as text: whole lines. */
  get text(): string {
    return this.#files.map((file) => (existsSync(file) ? wholeLinesOf(readFileSync(file, 'utf8')) : '')).join('');
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
    const lines = this.text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as OtlpLine);
  }

  /** Writes the settings of its next start. @returns their file */
  #configure(): string {
    const received = join(this.#folder, `received-${this.#files.length}.jsonl`);
    this.#files.push(received);
    const protocols = { http: { endpoint: `127.0.0.1:${this.#port}` } };
    const pipeline = { receivers: ['otlp'], exporters: ['file'] };
    const config = {
      receivers: { otlp: { protocols } },
      exporters: { file: { path: received, flush_interval: '50ms' } },
      service: { telemetry: { metrics: { level: 'none' } }, pipelines: { traces: pipeline, metrics: pipeline } },
    };
    const file = join(this.#folder, 'config.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}

function wholeLinesOf(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}

function toCollected({ parentSpanId = '', attributes = [], status, links = [], ...span }: OtlpSpan): CollectedSpan {
  const read = attributes.map(({ key, value }) => [key, Object.values(value)[0]]);
  return { ...span, parentSpanId, attributes: Object.fromEntries(read), status: status?.code ?? 0, links };
}
