import { GloveboxError } from '../errors.ts';

/** Statuses of a condition that does not hold, or that the server does not know. */
const MEANT = new Set([409, 412, 501]);
/** Codes of what is not there. An answer to `HEAD` has none. */
const ABSENT = new Set(['NoSuchKey', 'NoSuchUpload', '']);

/** Answer of the storage that says no. */
export class StorageRefusal extends Error {
  readonly status: number;
  /** Code of S3, such as `NoSuchKey`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(`the storage answers ${status} ${code}: ${message.slice(0, 300)}`);
    this.status = status;
    this.code = code;
  }

  /** Whether it is about what was asked for, and so means something to whoever asked. */
  get isMeant(): boolean {
    return MEANT.has(this.status) || (this.status === 404 && ABSENT.has(this.code));
  }
}

const CREDENTIALS = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
  'InvalidSecurity',
  // Of Versity's gateway.
  'XAdminUserNotFound',
]);
const FULL = new Set(['QuotaExceeded', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'InsufficientStorage']);
const WRONG_BYTES = new Set(['BadDigest', 'XAmzContentSHA256Mismatch', 'InvalidDigest', 'IncompleteBody']);
const PASSING = new Set(['SlowDown', 'RequestTimeout', 'ServiceUnavailable', 'InternalError', 'OperationAborted']);

/** Whether the same request may succeed in a moment. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof StorageRefusal)) return !(error instanceof GloveboxError);
  const { status, code } = error;
  if (FULL.has(code)) return false;
  return status >= 500
    ? status !== 501 && status !== 507
    : status === 429 || PASSING.has(code) || WRONG_BYTES.has(code);
}

/** Tells callers what is wrong with the storage at an address. */
export function asStorageError(error: unknown, { address, writes }: { address: string; writes: boolean }): Error {
  if (error instanceof GloveboxError) return error;
  if (!(error instanceof StorageRefusal))
    return unavailable(`The storage of archives at ${address} does not answer.`, {
      hint: 'Nothing is lost. Try again once it is back; the operator looks at its address, GLOVEBOX_ARCHIVE_ENDPOINT, and the network.',
      cause: error,
    });
  const { status, code } = error;
  if (FULL.has(code) || status === 507)
    return new GloveboxError('capacity_exceeded', 'The storage of archives is full.', {
      hint: 'Delete snapshots or close sessions that are no longer needed, or have the operator give it more room.',
      cause: error,
    });
  return unavailable(`The storage of archives at ${address} ${complaint(error, writes)}.`, {
    ...hintFor(error),
    cause: error,
  });
}

function complaint({ status, code }: StorageRefusal, writes: boolean): string {
  if (code === 'RequestTimeTooSkewed') return 'has another time than this machine';
  if (CREDENTIALS.has(code)) return `does not know the credentials (${code})`;
  if (code === 'NoSuchBucket') return 'has no bucket of that name';
  if (WRONG_BYTES.has(code)) return `got other bytes than were sent (${code})`;
  if (status === 403 || status === 405) return writes ? `may not be written to (${code})` : `may not be read (${code})`;
  return status >= 500 ? `answers with errors (${status} ${code})` : `refuses a request (${status} ${code})`;
}

function hintFor({ status, code }: StorageRefusal): { hint: string } {
  if (code === 'RequestTimeTooSkewed')
    return { hint: 'Nothing is lost. The operator sets the clocks of both machines by NTP.' };
  if (CREDENTIALS.has(code) || status === 403 || status === 405)
    return {
      hint: 'Nothing is lost. The operator corrects AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or GLOVEBOX_ARCHIVE_CREDENTIALS_FILE, or what they are allowed to.',
    };
  if (code === 'NoSuchBucket')
    return { hint: 'The operator makes the bucket that GLOVEBOX_ARCHIVES names, or corrects the name.' };
  return { hint: 'Nothing is lost. Try again; if it fails again, the operator looks at the storage.' };
}

function unavailable(message: string, options: { hint: string; cause: unknown }): GloveboxError {
  return new GloveboxError('archive_unavailable', message, options);
}
