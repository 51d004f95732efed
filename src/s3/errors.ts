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

/** Codes of a certificate that is not accepted. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/;
/** Codes of a server that does not speak TLS, or another version of it. */
const TLS = /^(EPROTO$|ERR_SSL_)/;
const TIMEOUT = 'TimeoutError';

/** Whether the same request may succeed in a moment. */
export function mayPass(error: unknown): boolean {
  if (error instanceof GloveboxError) return false;
  if (!(error instanceof StorageRefusal)) return !CERTIFICATE.test(causeOf(error)) && !TLS.test(causeOf(error));
  const { status, code } = error;
  if (FULL.has(code)) return false;
  return status >= 500
    ? status !== 501 && status !== 507
    : status === 429 || PASSING.has(code) || WRONG_BYTES.has(code);
}

/** Request that has failed, and where it went. */
export interface FailedRequest {
  readonly address: string;
  readonly bucket: string;
  readonly writes: boolean;
}

/** Tells callers what is wrong with the storage at an address. */
export function asStorageError(error: unknown, request: FailedRequest): GloveboxError {
  if (error instanceof GloveboxError) return error;
  if (!(error instanceof StorageRefusal)) return unreachable(error, request.address);
  const { status, code } = error;
  if (FULL.has(code) || status === 507)
    return new GloveboxError('capacity_exceeded', `The storage of archives at ${request.address} is full.`, {
      hint: 'Delete snapshots or close sessions that are no longer needed, or have the operator give it more room.',
      cause: error,
    });
  return unavailable(`The storage of archives at ${request.address} ${complaint(error, request)}.`, {
    ...hintFor(error),
    cause: error,
  });
}

function unreachable(cause: unknown, address: string): GloveboxError {
  const code = causeOf(cause);
  const told = (complaint: string, hint: string) =>
    unavailable(`The storage of archives at ${address} ${complaint}.`, { hint: `Nothing is lost. ${hint}`, cause });
  if (CERTIFICATE.test(code))
    return told(
      `has a certificate that is not accepted (${code})`,
      'The operator names the file of its certificate authority by SSL_CERT_FILE, or corrects the certificate.',
    );
  if (TLS.test(code))
    return told(
      `does not speak TLS (${code})`,
      'The operator corrects "https" or the port in GLOVEBOX_ARCHIVE_ENDPOINT.',
    );
  if (code === TIMEOUT)
    return told(
      'does not answer in time',
      'Try again later. The operator looks at its load and at the network: a request has 20 seconds, one of many bytes a minute.',
    );
  return told(
    code === '' ? 'does not answer' : `does not answer (${code})`,
    'Try again once it is back; the operator looks at its address, GLOVEBOX_ARCHIVE_ENDPOINT, and the network.',
  );
}

/** Code of what has kept a request from being answered, or empty. */
function causeOf(error: unknown): string {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each.name === TIMEOUT) return TIMEOUT;
    const { code } = each as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
  }
  return '';
}

function complaint({ status, code }: StorageRefusal, { bucket, writes }: FailedRequest): string {
  const said = code || String(status);
  if (code === 'RequestTimeTooSkewed') return 'has another time than this machine';
  if (CREDENTIALS.has(code)) return `does not know the credentials (${code})`;
  if (code === 'NoSuchBucket') return `has no bucket of the name ${bucket}`;
  if (WRONG_BYTES.has(code)) return `got other bytes than were sent (${code})`;
  if (status === 403 || status === 405) return writes ? `may not be written to (${said})` : `may not be read (${said})`;
  return status >= 500 ? `answers with errors (${status} ${code})` : `refuses a request (${status} ${code})`;
}

function hintFor({ status, code }: StorageRefusal): { hint: string } {
  if (code === 'RequestTimeTooSkewed')
    return { hint: 'Nothing is lost. The operator sets the clocks of both machines by NTP.' };
  if (CREDENTIALS.has(code) || status === 403 || status === 405)
    return {
      hint: 'Nothing is lost. The operator corrects AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or GLOVEBOX_ARCHIVE_CREDENTIALS_FILE, or what they are allowed to.',
    };
  if (code === 'NoSuchBucket') return { hint: 'The operator makes that bucket, or corrects its name in the settings.' };
  if (status >= 500)
    return {
      hint: 'Nothing is lost. Try again; if it fails again, the operator looks at its log, and whether its disk is full or read-only.',
    };
  return { hint: 'Nothing is lost. Try again; if it fails again, the operator looks at the storage.' };
}

function unavailable(message: string, options: { hint: string; cause: unknown }): GloveboxError {
  return new GloveboxError('archive_unavailable', message, options);
}
