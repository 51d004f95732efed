import { createHash } from 'node:crypto';
import type { GloveboxError } from '../errors.ts';
import { type S3Answer, S3Client, type S3Place } from './client.ts';
import { StorageRefusal } from './errors.ts';
import { childrenOf, readXml, textOf, type XmlElement } from './xml.ts';

/** Largest object that is copied by one request, in bytes. */
const COPY_BYTES = 5 * 2 ** 30;
/** Size of a part of a larger copy, in bytes. */
const COPIED_PART_BYTES = 2 ** 30;

export interface StoredObject {
  readonly key: string;
  readonly etag: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly begunMs: number;
}

/** Uploaded part of an object. */
export interface UploadedPart {
  readonly etag: string;
  /** SHA-256 in base64. Left out for a copy. */
  readonly sha256?: string;
}

/** What an object must be to be replaced: of that ETag, or not there. */
export type Condition = { readonly etag: string } | 'absent';

/** Objects below a prefix of a bucket. Names are without that prefix. */
export class Bucket {
  readonly #client: S3Client;
  readonly #name: string;
  readonly #prefix: string;

  /** @param prefix empty, or ends with `/` */
  constructor(place: S3Place, prefix: string) {
    this.#client = new S3Client(place);
    this.#name = place.bucket;
    this.#prefix = prefix;
  }

  /** Time of the storage, as far as is known. */
  now(): number {
    return this.#client.now();
  }

  /** What fails at the storage now, as far as requests have shown. */
  get trouble(): GloveboxError | undefined {
    return this.#client.trouble.current;
  }

  /** Whether the storage answers, as far as is known. If not, what can wait need not be tried. */
  get isReachable(): boolean {
    return this.#client.trouble.isReachable;
  }

  /**
   * Writes an object, and has the storage check what arrives. Returns its ETag.
   * @throws StorageRefusal of status 409, 412 or 404 when the condition does not hold, 501 when the server knows none
   */
  async put(key: string, body: Buffer, condition?: Condition): Promise<string> {
    const sha256 = createHash('sha256').update(body).digest();
    const headers = {
      'x-amz-checksum-sha256': sha256.toString('base64'),
      ...(condition === undefined
        ? {}
        : condition === 'absent'
          ? { 'if-none-match': '*' }
          : { 'if-match': condition.etag }),
    };
    const answer = await this.#client.send({ method: 'PUT', key: this.#prefix + key, headers, body, sha256 });
    return answer.headers.get('etag') ?? '';
  }

  /** Reads an object. Undefined if there is none. */
  async get(key: string): Promise<{ readonly etag: string; readonly body: Buffer } | undefined> {
    const answer = await absentIs404(this.#client.send({ method: 'GET', key: this.#prefix + key }));
    return answer && { etag: answer.headers.get('etag') ?? '', body: answer.body };
  }

  /** Reads a part of an object, and tells the size of the whole. Undefined if there is none. */
  async getRange(
    key: string,
    offset: number,
    length: number,
  ): Promise<{ readonly body: Buffer; readonly total: number } | undefined> {
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    const answer = await absentIs404(
      this.#client.send({ method: 'GET', key: this.#prefix + key, headers, answerBytes: length }),
    );
    const range = answer?.headers.get('content-range')?.split('/')[1];
    return answer && { body: answer.body, total: Number(range ?? answer.body.length) };
  }

  /** Size of an object. Undefined if there is none. */
  async sizeOf(key: string): Promise<number | undefined> {
    const answer = await absentIs404(this.#client.send({ method: 'HEAD', key: this.#prefix + key }));
    return answer && Number(answer.headers.get('content-length'));
  }

  async delete(key: string): Promise<void> {
    await absentIs404(this.#client.send({ method: 'DELETE', key: this.#prefix + key }));
  }

  /** Copies an object within the storage. @throws StorageRefusal of status 404 when there is none */
  async copy(from: string, to: string, bytes: number): Promise<void> {
    const source = { 'x-amz-copy-source': `/${this.#name}/${this.#prefix}${from}` };
    if (bytes <= COPY_BYTES) {
      const answer = await this.#client.send({ method: 'PUT', key: this.#prefix + to, headers: source });
      refuseError(answer);
      return;
    }
    const uploadId = await this.begin(to);
    const parts: UploadedPart[] = [];
    for (let at = 0; at < bytes; at += COPIED_PART_BYTES) {
      const range = `bytes=${at}-${Math.min(at + COPIED_PART_BYTES, bytes) - 1}`;
      const headers = { ...source, 'x-amz-copy-source-range': range };
      const query = { partNumber: String(parts.length + 1), uploadId };
      const answer = await this.#client.send({ method: 'PUT', key: this.#prefix + to, query, headers });
      parts.push({ etag: textOf(refuseError(answer), 'ETag') });
    }
    await this.complete(to, uploadId, parts, bytes);
  }

  /** Lists the objects whose names begin with a prefix. */
  async *list(prefix: string): AsyncGenerator<StoredObject, void, undefined> {
    for (let token = ''; ; ) {
      const query = {
        'list-type': '2',
        prefix: this.#prefix + prefix,
        ...(token ? { 'continuation-token': token } : {}),
      };
      const document = readXml((await this.#client.send({ method: 'GET', query })).body.toString('utf8'));
      for (const element of childrenOf(document, 'Contents'))
        yield {
          key: textOf(element, 'Key').slice(this.#prefix.length),
          etag: textOf(element, 'ETag'),
          bytes: Number(textOf(element, 'Size')),
          modifiedMs: Date.parse(textOf(element, 'LastModified')),
        };
      token = textOf(document, 'NextContinuationToken');
      if (textOf(document, 'IsTruncated') !== 'true' || !token) return;
    }
  }

  /** Begins an upload in parts. Returns its id. */
  async begin(key: string): Promise<string> {
    const headers = { 'x-amz-checksum-algorithm': 'SHA256' };
    const answer = await this.#client.send({
      method: 'POST',
      key: this.#prefix + key,
      query: { uploads: '' },
      headers,
    });
    return textOf(readXml(answer.body.toString('utf8')), 'UploadId');
  }

  /** @param number counts from 1 */
  async putPart(key: string, uploadId: string, number: number, body: Buffer): Promise<UploadedPart> {
    const sha256 = createHash('sha256').update(body).digest();
    const base64 = sha256.toString('base64');
    const answer = await this.#client.send({
      method: 'PUT',
      key: this.#prefix + key,
      query: { partNumber: String(number), uploadId },
      headers: { 'x-amz-checksum-sha256': base64 },
      body,
      sha256,
    });
    return { etag: answer.headers.get('etag') ?? '', sha256: base64 };
  }

  /** Makes an object of the parts of an upload. */
  async complete(key: string, uploadId: string, parts: readonly UploadedPart[], bytes: number): Promise<void> {
    const listed = parts.map(({ etag, sha256 }, index) => {
      const checksum = sha256 ? `<ChecksumSHA256>${sha256}</ChecksumSHA256>` : '';
      return `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag.replaceAll('"', '&quot;')}</ETag>${checksum}</Part>`;
    });
    const body = Buffer.from(
      `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${listed.join('')}</CompleteMultipartUpload>`,
    );
    try {
      const answer = await this.#client.send({ method: 'POST', key: this.#prefix + key, query: { uploadId }, body });
      refuseError(answer);
    } catch (error) {
      // An earlier attempt had arrived, and its answer was lost.
      const isGone = error instanceof StorageRefusal && error.code === 'NoSuchUpload';
      if (!isGone || (await this.sizeOf(key)) !== bytes) throw error;
    }
  }

  /** Gives up an upload. */
  async abort(key: string, uploadId: string): Promise<void> {
    await absentIs404(this.#client.send({ method: 'DELETE', key: this.#prefix + key, query: { uploadId } }));
  }

  /** Lists the uploads that were begun and neither made objects nor given up. */
  async *uploads(prefix: string): AsyncGenerator<UnfinishedUpload, void, undefined> {
    for (let marker: Record<string, string> = {}; ; ) {
      const query = { uploads: '', prefix: this.#prefix + prefix, ...marker };
      const document = readXml((await this.#client.send({ method: 'GET', query })).body.toString('utf8'));
      for (const element of childrenOf(document, 'Upload'))
        yield {
          key: textOf(element, 'Key').slice(this.#prefix.length),
          uploadId: textOf(element, 'UploadId'),
          begunMs: Date.parse(textOf(element, 'Initiated')),
        };
      if (textOf(document, 'IsTruncated') !== 'true') return;
      marker = {
        'key-marker': textOf(document, 'NextKeyMarker'),
        'upload-id-marker': textOf(document, 'NextUploadIdMarker'),
      };
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

async function absentIs404(answer: Promise<S3Answer>): Promise<S3Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof StorageRefusal && error.status === 404) return undefined;
    throw error;
  }
}

/** Reads an answer that may say no with the status 200. @throws StorageRefusal */
function refuseError({ body }: S3Answer): XmlElement {
  const document = readXml(body.toString('utf8'));
  if (document.name === 'Error') throw new StorageRefusal(500, textOf(document, 'Code'), textOf(document, 'Message'));
  return document;
}
