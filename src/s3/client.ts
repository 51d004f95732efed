import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { AwsV4Signer } from 'aws4fetch';
import { Dispatchers, type HostAccess } from '../outbound/dispatchers.ts';
import { currentTrace, type Span, trace } from '../telemetry/trace.ts';
import type { Credentials } from './credentials.ts';
import { asStorageError, mayPass, StorageRefusal } from './errors.ts';
import { Trouble } from './trouble.ts';
import { readXml, textOf } from './xml.ts';

/** Size from which a request or its answer is large, in bytes. */
const LARGE_BYTES = 256 * 1024;
/** Time after which no further attempt is begun, in milliseconds. */
const PATIENCE_MS = 20_000;
const FIRST_PAUSE_MS = 100;

const EMPTY_SHA256 = createHash('sha256').digest();

/** How long a request is waited for. */
export interface Patience {
  readonly attempts: number;
  /** Longest wait for the answer to one attempt, in milliseconds. The answer to a large one may take longer. */
  readonly answerMs: number;
  readonly largeAnswerMs: number;
}

const PATIENT: Patience = { attempts: 5, answerMs: 20_000, largeAnswerMs: 60_000 };

export interface S3Place {
  readonly endpoint: URL;
  readonly region: string;
  readonly bucket: string;
  /** Whether the bucket is in the path, and not in the host's name. */
  readonly pathStyle: boolean;
  readonly credentials: () => Credentials;
  readonly access: HostAccess;
  readonly patience?: Patience;
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Left out for a request about the bucket. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** SHA-256 of the body, if it is known already. */
  readonly sha256?: Buffer;
  /** Expected size of the answer, in bytes. */
  readonly answerBytes?: number;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: Buffer;
}

/** Sends signed requests to a bucket of S3 or of a server that speaks its protocol. Passing failures are tried again. */
export class S3Client {
  readonly #place: S3Place;
  readonly #hosts: Dispatchers;
  readonly #patience: Patience;
  readonly #trouble = new Trouble();
  /** How far the clock of the storage is ahead, in milliseconds. */
  #aheadMs = 0;

  constructor(place: S3Place) {
    this.#place = place;
    this.#hosts = new Dispatchers(place.access);
    this.#patience = place.patience ?? PATIENT;
  }

  /** Time of the storage, as far as is known. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  get trouble(): Trouble {
    return this.#trouble;
  }

  /**
   * Sends a request until it is answered, and returns the answer.
   * @throws StorageRefusal when what was asked for is not there, or a condition does not hold or is not known
   * @throws GloveboxError `archive_unavailable`, or `capacity_exceeded`
   */
  async send(request: S3Request): Promise<S3Answer> {
    const started = performance.now();
    const { method } = request;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#traced(request);
        this.#trouble.answered(method);
        return answer;
      } catch (error) {
        if (error instanceof StorageRefusal && error.isMeant) {
          this.#trouble.answered(method);
          throw error;
        }
        const skewed = error instanceof StorageRefusal && error.code === 'RequestTimeTooSkewed' && attempt === 1;
        const isOver = attempt === this.#patience.attempts || performance.now() - started > PATIENCE_MS;
        if (!skewed && (isOver || !mayPass(error))) {
          const { endpoint, bucket } = this.#place;
          const told = asStorageError(error, {
            address: endpoint.host,
            bucket,
            writes: method !== 'GET' && method !== 'HEAD',
          });
          this.#trouble.failed(method, told);
          throw told;
        }
      }
      await wait(FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
    }
  }

  async close(): Promise<void> {
    await this.#hosts.close();
  }

  /** What no call and no checkpoint waits for has no span. */
  async #traced(request: S3Request): Promise<S3Answer> {
    if (!currentTrace()) return await this.#attempt(request);
    const { method, body } = request;
    const about = async (span: Span | undefined) => {
      const { hostname, port } = this.#place.endpoint;
      span?.set({
        'http.request.method': method,
        'server.address': hostname,
        'server.port': Number(port) || undefined,
      });
      try {
        const answer = await this.#attempt(request);
        const bytes = { 'http.request.body.size': body?.length ?? 0, 'http.response.body.size': answer.body.length };
        span?.set({ 'http.response.status_code': answer.status, ...bytes });
        return answer;
      } catch (error) {
        if (error instanceof StorageRefusal) span?.set({ 'http.response.status_code': error.status });
        throw error;
      }
    };
    return await trace(method, about, { kind: 'client' });
  }

  async #attempt(request: S3Request): Promise<S3Answer> {
    const { method, body, answerBytes = 0 } = request;
    const { answerMs, largeAnswerMs } = this.#patience;
    const isLarge = (body?.length ?? 0) > LARGE_BYTES || answerBytes > LARGE_BYTES;
    const { url, headers } = await this.#sign(request);
    const response = await this.#hosts.send(url, {
      method,
      headers,
      redirect: 'manual',
      ...(body ? { body } : {}),
      signal: AbortSignal.timeout(isLarge ? largeAnswerMs : answerMs),
    });
    const received = Buffer.from(await response.arrayBuffer());
    if (response.ok) return { status: response.status, headers: response.headers, body: received };
    const document = readXml(received.toString('utf8'));
    const refusal = new StorageRefusal(response.status, textOf(document, 'Code'), textOf(document, 'Message'));
    const date = Date.parse(response.headers.get('date') ?? '');
    if (refusal.code === 'RequestTimeTooSkewed' && date > 0) this.#aheadMs = date - Date.now();
    throw refusal;
  }

  async #sign(request: S3Request): Promise<{ url: URL; headers: Record<string, string> }> {
    const { method, body, query = {}, headers = {} } = request;
    const { region } = this.#place;
    const url = this.#urlOf(request.key);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const sha256 = request.sha256 ?? (body ? createHash('sha256').update(body).digest() : EMPTY_SHA256);
    const signed = await new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': sha256.toString('hex') },
      ...this.#credentials(),
      service: 's3',
      region,
      datetime: new Date(this.now()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
    }).sign();
    return { url: signed.url, headers: Object.fromEntries(signed.headers) };
  }

  #credentials() {
    const { accessKeyId, secretAccessKey, sessionToken } = this.#place.credentials();
    return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
  }

  #urlOf(key = ''): URL {
    const { endpoint, bucket, pathStyle } = this.#place;
    const url = new URL(endpoint);
    const base = url.pathname.replace(/\/$/, '');
    if (!pathStyle) url.hostname = `${bucket}.${url.hostname}`;
    url.pathname = pathStyle ? `${base}/${bucket}/${key}` : `${base}/${key}`;
    return url;
  }
}
